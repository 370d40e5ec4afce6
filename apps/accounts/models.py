"""Users, teams and API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from apps.accounts.querysets import (
    InvitationQuerySet,
    LoginQuerySet,
    MembershipQuerySet,
    SavedFilterQuerySet,
    TeamQuerySet,
)
from apps.audit import trail

INVITATION_LIFETIME = timedelta(days=7)
ANSWERS_KEPT_FOR = timedelta(days=1)
"""How long a POST may be repeated with its idempotency key."""


class Role(models.TextChoices):
    """What a member may do in a team; each role includes the ones before it."""

    VIEWER = "viewer", _("Viewer")
    ENGINEER = "engineer", _("Engineer")
    OWNER = "owner", _("Owner")

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def includes(self, other: Role) -> bool:
        return self.rank >= other.rank


class EmailUserManager(UserManager["User"]):
    """Accounts are identified by e-mail address; there is no user name."""

    def _create_user(self, email: str, password: str | None, **extra: object) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_user(self, email: str, password: str | None = None, **extra: object) -> User:  # type: ignore[override]
        return self._create_user(email, password, **extra)

    def create_superuser(self, email: str, password: str | None = None, **extra: object) -> User:  # type: ignore[override]
        return self._create_user(email, password, **{"is_staff": True, "is_superuser": True, **extra})


class User(AbstractUser):  # type: ignore[django-manager-missing]  # knox's manager has no types
    """A person, identified by e-mail address; or a service account, which belongs to a team and has only tokens."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True)
    time_zone = models.CharField(max_length=60, blank=True, default="")
    """Its pages and mails show times in this zone. Empty until the first page, from which the browser's is learned."""
    language = models.CharField(max_length=10, blank=True, default="")
    """Its pages and mails are in this language. Empty until the first page, from which the browser's is learned."""
    service_of: models.ForeignKey[Team | None, Team | None] = models.ForeignKey(
        "Team", on_delete=models.CASCADE, null=True, blank=True, editable=False, related_name="service_accounts"
    )
    """The team of a service account (`apps.accounts.service_accounts`); empty for a person."""

    token: ApiToken | None = None
    """The token by which the current request speaks for this account; `None` outside of such a request."""

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[EmailUserManager] = EmailUserManager()

    class Meta(AbstractUser.Meta):
        constraints = (
            models.UniqueConstraint(
                fields=("service_of", "first_name"),
                condition=models.Q(service_of__isnull=False),
                name="service_account_name_unique_in_team",
            ),
        )

    def __str__(self) -> str:
        return self.get_full_name() or self.email

    @property
    def is_service(self) -> bool:
        """Whether this is a service account."""
        return self.service_of_id is not None

    @property
    def person_id(self) -> int | None:
        """Who is behind the current request: this person, or who made the token of this service account."""
        if not self.is_service:
            return self.pk
        return self.token.created_by_id if self.token else None

    @property
    def standing(self) -> models.QuerySet[Membership]:
        """The memberships that count for the current request: all, or only that in the team of its token."""
        rows = self.memberships.all()
        if self.token is None or self.token.team_id is None:
            return rows
        return rows.filter(team=self.token.team_id)

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        """A new password, however it is set, ends all API tokens: whoever had the old one may have made some."""
        # Django's own mark, which a better hash of the same password does not set.
        changed = getattr(self, "_password", None) is not None
        super().save(*args, **options)
        if changed:
            self.end_tokens("The password was changed.")

    def end_tokens(self, reason: str, *, of: Team | None = None) -> None:
        """Deletes all API tokens, or those for the team `of` alone. Whatever uses them stops working immediately."""
        tokens = ApiToken.objects.filter(user=self).select_related("team")
        for token in tokens if of is None else tokens.filter(team=of):
            token.delete()
            trail.record("token.ended", actor=self, team=token.team, subject=token.name, reason=reason)


class Team(models.Model):
    """The unit of ownership: every model, data set and session belongs to one team and is invisible to others."""

    name = models.CharField(max_length=80, unique=True)
    slug = models.SlugField(max_length=80, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    may_upload_code = models.BooleanField(default=False)
    """Whether this member may upload models with code. No role includes it, not even owner; it is granted individually.
    """
    joined_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ("user__email",)
        constraints = (models.UniqueConstraint(fields=("team", "user"), name="one_membership_per_team"),)

    def __str__(self) -> str:
        return f"{self.user} · {self.team} ({self.get_role_display()})"

    def may(self, role: Role) -> bool:
        """Whether this member's role includes `role`."""
        return Role(self.role).includes(role)


class Invitation(models.Model):
    """A link by e-mail that makes its reader a member, once, for a week. Only the token's hash is kept."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role, default=Role.ENGINEER)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.email} → {self.team}"


class TokenScope(models.TextChoices):
    READ = "read", _("Read")
    WRITE = "write", _("Read and write")


class KeptAnswerQuerySet(models.QuerySet["KeptAnswer"]):
    def forget_old(self) -> None:
        """Removes those that no repetition is answered with any more."""
        self.filter(created_at__lt=timezone.now() - ANSWERS_KEPT_FOR).delete()


class KeptAnswer(models.Model):
    """The answer to a POST with an idempotency key (`apps.accounts.idempotency`), or the claim of one that runs."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    """SHA-256 of what was asked."""
    status = models.PositiveSmallIntegerField(null=True)
    """`None` while the request runs."""
    body = models.JSONField(null=True)
    secret = models.BooleanField(default=False)
    """Whether the answer held a secret. Then its body is not kept."""
    created_at = models.DateTimeField(default=timezone.now)

    objects = KeptAnswerQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "key"), name="one_answer_per_key"),)

    def __str__(self) -> str:
        return self.key


class ApiToken(AbstractAuthToken):
    """A key for automation, acting as its member: named, hashed, scoped, expiring. Knox keeps digest, owner, expiry."""

    name = models.CharField(max_length=80)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    """The only team that it opens. Empty: all teams of its owner."""
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")
    """The person who made it; empty for tokens from before this was kept."""
    scope = models.CharField(max_length=5, choices=TokenScope, default=TokenScope.READ)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_address = models.GenericIPAddressField(null=True, blank=True, editable=False)
    """The address of the client that used it last."""

    class Meta:
        ordering = ("-created",)

    def __str__(self) -> str:
        return f"{self.name} ({self.token_key}…)"


class Login(models.Model):
    """A browser in which somebody is logged in. It goes with its session, and ending it ends the session."""

    session = models.OneToOneField(Session, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    address = models.GenericIPAddressField(null=True, editable=False)
    """The address of the client that used it last; empty for a socket, which has none."""
    device = models.CharField(max_length=80, blank=True, editable=False)
    """The browser and its system, in words."""
    began_at = models.DateTimeField(default=timezone.now, editable=False)
    seen_at = models.DateTimeField(default=timezone.now, editable=False)
    """To the minute."""

    objects = LoginQuerySet.as_manager()

    class Meta:
        ordering = ("-seen_at",)

    def __str__(self) -> str:
        return f"{self.user.email}: {self.device}" + (f", {self.address}" if self.address else "")


class SavedFilter(models.Model):
    """A filter of a list under a name: of one member, or shared with the team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="saved_filters")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_filters")
    listing = models.CharField(max_length=20)
    name = models.CharField(max_length=80)
    query = models.TextField(max_length=2000)
    """What stands after the question mark of the list's address."""
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")
        constraints = (
            models.UniqueConstraint(fields=("team", "user", "listing", "name"), name="saved_filter_name_unique"),
        )

    def __str__(self) -> str:
        return self.name


class ListColumns(models.Model):
    """The columns that a member sees in a list, if they are not the usual ones."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    listing = models.CharField(max_length=20)
    columns = models.JSONField(default=list)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "listing"), name="one_choice_of_columns_per_list"),)

    def __str__(self) -> str:
        return f"{self.user}: {self.listing}"
