"""DATABASE_URL, STORAGE_URL and EMAIL_URL become the settings they mean."""

from __future__ import annotations

import pytest

from lathe import addresses
from lathe.env import Environment, WrongVariable

pytestmark = pytest.mark.portable


def test_sqlite_takes_its_turn_before_it_writes():
    settings = addresses.database("sqlite:////srv/lathe%20one.db")
    assert settings["NAME"] == "/srv/lathe one.db"
    assert settings["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in settings["OPTIONS"]["init_command"]


def test_default_database_lies_in_the_var_folder(tmp_path):
    folder = tmp_path / "a b%20c"
    environment = Environment.read({"LATHE_VAR_DIR": str(folder)})
    assert addresses.database(environment.database_url)["NAME"] == f"{folder}/lathe.sqlite3"
    assert addresses.storage(environment.storage_url)["OPTIONS"]["location"] == f"{folder}/files"
    assert addresses.mail(environment.email_url)["EMAIL_FILE_PATH"] == f"{folder}/mail"


def test_postgres_keeps_odd_characters_of_a_password():
    settings = addresses.database("postgres://lathe:p%40ss%2Fword@db.example.org:5433/lathe?sslmode=require")
    assert settings["ENGINE"] == "django.db.backends.postgresql"
    assert (settings["USER"], settings["PASSWORD"]) == ("lathe", "p@ss/word")
    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == ("db.example.org", "5433", "lathe")
    assert settings["OPTIONS"] == {**addresses.POSTGRES_PATIENCE, "sslmode": "require"}


def test_an_operator_may_have_another_patience_with_postgres():
    assert addresses.database("postgres://db/lathe")["OPTIONS"]["connect_timeout"] == "3"
    assert addresses.database("postgres://db/lathe?connect_timeout=20")["OPTIONS"]["connect_timeout"] == "20"


def test_a_pooler_of_transactions_is_asked_for_no_cursor_that_outlives_one():
    pooled = addresses.database("postgres://pooler:6432/lathe?pooling=transaction&sslmode=require")
    assert pooled["DISABLE_SERVER_SIDE_CURSORS"] is True
    assert pooled["OPTIONS"] == {**addresses.POSTGRES_PATIENCE, "sslmode": "require"}
    assert addresses.database("postgres://db/lathe")["DISABLE_SERVER_SIDE_CURSORS"] is False
    with pytest.raises(WrongVariable, match="pooling=transaction"):
        addresses.database("postgres://pooler/lathe?pooling=statement")


def test_a_process_keeps_connections_if_asked_to():
    kept = addresses.database("postgres://db/lathe?pool=20&sslmode=require")
    assert kept["OPTIONS"]["pool"] == {"min_size": 0, "max_size": 20, "timeout": addresses.POOL_PATIENCE_S}
    assert (kept["OPTIONS"]["sslmode"], kept["CONN_HEALTH_CHECKS"]) == ("require", True)
    for url in ("postgres://db/lathe", "postgres://db/lathe?pool=0"):
        assert "pool" not in addresses.database(url)["OPTIONS"]
    for wrong in ("-1", "1001", "many", "٣"):
        with pytest.raises(WrongVariable, match="pool=20"):
            addresses.database(f"postgres://db/lathe?pool={wrong}")


def test_bucket_with_an_endpoint_of_its_own():
    settings = addresses.storage("s3://models/team/a?endpoint=https://s3.example.org&region=eu-1&addressing=path")
    assert settings["BACKEND"] == "storages.backends.s3.S3Storage"
    options = settings["OPTIONS"]
    assert (options["bucket_name"], options["location"]) == ("models", "team/a")
    assert options["endpoint_url"] == "https://s3.example.org"
    assert options["region_name"] == "eu-1"
    assert options["default_acl"] is None
    client = options["client_config"]
    assert (client.s3, client.signature_version) == ({"addressing_style": "path"}, "s3v4")
    assert addresses.storage("s3://models")["OPTIONS"]["client_config"].s3 == {"addressing_style": "auto"}


def test_a_bucket_that_hangs_is_not_waited_for_long_and_its_files_do_not_fill_the_memory():
    options = addresses.storage("s3://models")["OPTIONS"]
    client = options["client_config"]
    assert client.connect_timeout * client.retries["total_max_attempts"] <= 10
    assert client.read_timeout * client.retries["total_max_attempts"] <= 100
    assert 0 < options["max_memory_size"] <= 2**25


@pytest.mark.parametrize(
    ("url", "port", "ssl", "starttls"),
    [
        ("smtps://me:pw@mail.example.org", 465, True, False),
        ("smtp://me:pw@mail.example.org", 587, False, True),
        ("smtp://localhost:25", 25, False, False),
    ],
)
def test_mail_is_encrypted_unless_it_stays_on_this_machine(url, port, ssl, starttls):
    settings = addresses.mail(url)
    assert (settings["EMAIL_PORT"], settings["EMAIL_USE_SSL"], settings["EMAIL_USE_TLS"]) == (port, ssl, starttls)


def test_mail_to_the_console():
    assert addresses.mail("console:")["EMAIL_BACKEND"].endswith("console.EmailBackend")


@pytest.mark.parametrize(
    ("read", "url", "advice"),
    [
        (addresses.database, "sqlite:///lathe.db", "sqlite:////srv/lathe.db"),
        (addresses.database, "postgres://me:secret@db", "postgres://user:password@host:5432/name"),
        (addresses.database, "postgres://me:secret@db/x?schema=5", "sslmode"),
        (addresses.storage, "file://srv/files", "file:///srv/lathe/files"),
        (addresses.storage, "s3://bucket?acl=public", "endpoint, region"),
        (addresses.storage, "s3://bucket?addressing=dns", "addressing=auto|path|virtual"),
        (addresses.mail, "file://mail", "file:///srv/lathe/mail"),
        (addresses.mail, "smtp:", "smtps://user"),
    ],
)
def test_wrong_address_says_what_to_write(read, url, advice):
    with pytest.raises(WrongVariable) as caught:
        read(url)
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)
