from django.urls import include, path

from apps.models.views import aliases, approvals, cards, datasets, models, versions

app_name = "models"

version_urls = [
    path("", versions.detail, name="version-detail"),
    path("status/", versions.status, name="version-status"),
    path("describe/", versions.describe, name="version-describe"),
    path("signature/", versions.signature, name="version-signature"),
    path("delete/", versions.delete, name="version-delete"),
    path("graph/", versions.graph, name="version-graph"),
    path("graph/frame/", versions.graph_frame, name="version-graph-frame"),
    path("file/", versions.file, name="version-file"),
]

urlpatterns = [
    path("models/", models.listing, name="model-list"),
    path("models/upload/", models.upload, name="model-upload"),
    path("models/bulk/", models.bulk, name="model-bulk"),
    path("models/<int:pk>/", models.detail, name="model-detail"),
    path("models/<int:pk>/describe/", models.describe, name="model-describe"),
    path("models/<int:pk>/delete/", models.delete, name="model-delete"),
    path("models/<int:pk>/card/", cards.edit, name="model-card"),
    path("models/<int:pk>/aliases/move/", aliases.move, name="alias-move"),
    path("models/<int:pk>/aliases/<slug:name>/undo/", aliases.undo, name="alias-undo"),
    path("models/<int:pk>/aliases/<slug:name>/protect/", aliases.protect, name="alias-protect"),
    path("approvals/", approvals.listing, name="approval-list"),
    path("approvals/<int:pk>/decide/", approvals.decide, name="approval-decide"),
    path("approvals/<int:pk>/withdraw/", approvals.withdraw, name="approval-withdraw"),
    path("models/<int:pk>/versions/<int:number>/", include(version_urls)),
    path("datasets/", datasets.listing, name="dataset-list"),
    path("datasets/upload/", datasets.upload, name="dataset-upload"),
    path("datasets/bulk/", datasets.bulk, name="dataset-bulk"),
    path("datasets/<int:pk>/", datasets.detail, name="dataset-detail"),
    path("datasets/<int:pk>/status/", datasets.status, name="dataset-status"),
    path("datasets/<int:pk>/describe/", datasets.describe, name="dataset-describe"),
    path("datasets/<int:pk>/delete/", datasets.delete, name="dataset-delete"),
    path("datasets/<int:pk>/file/", datasets.file, name="dataset-file"),
]
