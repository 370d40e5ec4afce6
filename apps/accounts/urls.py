from django.urls import path

from apps.accounts import views, views_logins, views_service

app_name = "accounts"

urlpatterns = [
    path("team/", views.team, name="team"),
    path("team/switch/", views.switch_team, name="team-switch"),
    path("team/invite/", views.invite, name="invite"),
    path("team/invitations/<int:pk>/withdraw/", views.withdraw_invitation, name="invitation-withdraw"),
    path("team/members/<int:pk>/role/", views.change_role, name="member-role"),
    path("team/members/<int:pk>/code/", views.permit_code, name="member-code"),
    path("team/members/<int:pk>/remove/", views.remove_member, name="member-remove"),
    path("invitations/<str:token>/", views.accept_invitation, name="invitation-accept"),
    path("team/service-accounts/", views_service.listing, name="service-accounts"),
    path("team/service-accounts/create/", views_service.create, name="service-account-create"),
    path("team/service-accounts/<int:pk>/", views_service.detail, name="service-account"),
    path("team/service-accounts/<int:pk>/change/", views_service.change, name="service-account-change"),
    path("team/service-accounts/<int:pk>/tokens/", views_service.create_token, name="service-token-create"),
    path(
        "team/service-accounts/<int:pk>/tokens/<str:key>/revoke/",
        views_service.revoke_token,
        name="service-token-revoke",
    ),
    path("account/logins/", views_logins.listing, name="logins"),
    path("account/logins/end-others/", views_logins.end_others, name="logins-end-others"),
    path("account/logins/<int:pk>/end/", views_logins.end, name="login-end"),
    path("account/time-zone/", views.time_zone, name="time-zone"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/create/", views.create_token, name="token-create"),
    path("tokens/<str:key>/revoke/", views.revoke_token, name="token-revoke"),
]
