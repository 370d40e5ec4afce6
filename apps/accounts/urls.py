from django.urls import path

from apps.accounts import views

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
    path("account/time-zone/", views.time_zone, name="time-zone"),
    path("tokens/", views.tokens, name="tokens"),
    path("tokens/create/", views.create_token, name="token-create"),
    path("tokens/<str:key>/revoke/", views.revoke_token, name="token-revoke"),
]
