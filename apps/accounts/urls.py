from django.urls import path

from apps.accounts.views import account, invitations, lists, logins, service_accounts, team, tokens

app_name = "accounts"

urlpatterns = [
    path("team/", team.team, name="team"),
    path("team/switch/", team.switch_team, name="team-switch"),
    path("team/invite/", team.invite, name="invite"),
    path("team/invitations/<int:pk>/withdraw/", team.withdraw_invitation, name="invitation-withdraw"),
    path("team/members/<int:pk>/role/", team.change_role, name="member-role"),
    path("team/members/<int:pk>/code/", team.permit_code, name="member-code"),
    path("team/members/<int:pk>/remove/", team.remove_member, name="member-remove"),
    path("invitations/<str:token>/", invitations.accept_invitation, name="invitation-accept"),
    path("team/service-accounts/", service_accounts.listing, name="service-accounts"),
    path("team/service-accounts/bulk/", service_accounts.bulk, name="service-account-bulk"),
    path("team/service-accounts/create/", service_accounts.create, name="service-account-create"),
    path("team/service-accounts/<int:pk>/", service_accounts.detail, name="service-account"),
    path("team/service-accounts/<int:pk>/change/", service_accounts.change, name="service-account-change"),
    path("team/service-accounts/<int:pk>/tokens/", service_accounts.create_token, name="service-token-create"),
    path(
        "team/service-accounts/<int:pk>/tokens/<str:key>/revoke/",
        service_accounts.revoke_token,
        name="service-token-revoke",
    ),
    path("account/logins/", logins.listing, name="logins"),
    path("account/logins/end-others/", logins.end_others, name="logins-end-others"),
    path("account/logins/<int:pk>/end/", logins.end, name="login-end"),
    path("account/time-zone/", account.time_zone, name="time-zone"),
    path("lists/<slug:listing>/filters/", lists.save_filter, name="filter-save"),
    path("lists/filters/<int:pk>/delete/", lists.delete_filter, name="filter-delete"),
    path("lists/<slug:listing>/columns/", lists.choose_columns, name="list-columns"),
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/bulk/", tokens.bulk, name="token-bulk"),
    path("tokens/create/", tokens.create_token, name="token-create"),
    path("tokens/<str:key>/revoke/", tokens.revoke_token, name="token-revoke"),
]
