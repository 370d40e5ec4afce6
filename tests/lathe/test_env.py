"""Each reader understands what people write, and a wrong value names the variable, the value and what to write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lathe.env import SOCKET_PATH_LIMIT_BYTES, Environment, Reader, WrongVariable

pytestmark = pytest.mark.portable


def reader(**variables: str) -> Reader:
    return Reader(variables)


def test_unset_and_empty_variables_are_their_defaults():
    empty = reader(A="", B="   ")
    assert empty.text("A", "x") == "x"
    assert empty.flag("B", True) is True
    assert empty.whole("C", 7) == 7
    assert empty.words("A", ("a",)) == ("a",)
    assert empty.path("A", Path("/srv")) == Path("/srv")
    assert empty.size_bytes("A", 5) == 5
    assert empty.choice("A", "one", ("one", "two")) == "one"
    assert empty.url("A", "http://x", schemes=("http",), example="") == "http://x"


def test_reader_remembers_which_variables_exist():
    asked = reader()
    asked.flag("LATHE_ONE", False)
    asked.text("LATHE_TWO", "")
    assert asked.names == {"LATHE_ONE", "LATHE_TWO"}


@pytest.mark.parametrize("word", ["1", "true", "Yes", "ON", " on "])
def test_flag_understands_yes(word):
    assert reader(A=word).flag("A", False) is True


@pytest.mark.parametrize("word", ["0", "false", "No", "off"])
def test_flag_understands_no(word):
    assert reader(A=word).flag("A", True) is False


def test_size_understands_decimal_and_binary_units():
    sizes = reader(A="500MB", B="8GiB", C="1024", D="2 kib")
    assert sizes.size_bytes("A", 1) == 500_000_000
    assert sizes.size_bytes("B", 1) == 8 * 2**30
    assert sizes.size_bytes("C", 1) == 1024
    assert sizes.size_bytes("D", 1) == 2048


def test_words_lose_the_space_around_them():
    assert reader(A=" a, b ,,c ").words("A", ()) == ("a", "b", "c")


def test_cores_are_read_as_linux_writes_them():
    assert reader(A="2-3,6").cores("A") == (2, 3, 6)
    assert reader(A=" 5 , 0 ,4-5").cores("A") == (0, 4, 5)
    assert reader().cores("A") == ()


def test_path_expands_the_home_folder():
    assert reader(A="~/lathe").path("A", Path("/srv")) == Path.home() / "lathe"


WRONG = [
    (lambda r: r.flag("A", False), "maybe", "1 or 0"),
    (lambda r: r.whole("A", 1), "many", "a whole number of 0 or more"),
    (lambda r: r.whole("A", 1, at_least=1, at_most=9), "10", "from 1 to 9"),
    (lambda r: r.whole("A", 1), "-1", "0 or more"),
    (lambda r: r.size_bytes("A", 1), "5 parsecs", "500MB or 8GiB"),
    (lambda r: r.size_bytes("A", 1), "GB", "500MB or 8GiB"),
    (lambda r: r.size_bytes("A", 1), "0", "500MB or 8GiB"),
    (lambda r: r.choice("A", "x", ("x", "y")), "z", "one of x, y"),
    (lambda r: r.words("A", ("cpu",), choices=("cpu", "gpu")), "cpu,tpu", "out of cpu, gpu"),
    (lambda r: r.words("A", ("cpu",)), ",", "such as cpu"),
    *((lambda r: r.cores("A"), value, "such as 2-3,6") for value in ("two", "3-2", "-1", "1-", "1.5", "0-9999", "0 1")),
    (lambda r: r.path("A", Path("/srv/lathe")), "var", "an absolute path, such as /srv/lathe"),
    (
        lambda r: r.url("A", "", schemes=("redis", "unix"), example="redis://h"),
        "host:1",
        "redis:, unix: such as redis://h",
    ),
    (lambda r: r.url("A", "", schemes=("http",), example="http://h"), "http://h:port", "such as http://h"),
    (lambda r: r.url("A", "", schemes=("http",), example="http://h"), "http:///x", "with a host, such as http://h"),
]


@pytest.mark.parametrize(("read", "value", "advice"), WRONG)
def test_wrong_value_is_named_with_what_to_write(read, value, advice):
    with pytest.raises(WrongVariable) as caught:
        read(reader(A=value))
    sentence = str(caught.value)
    assert sentence.startswith(f"A is {value!r}, which is invalid: ")
    assert advice in sentence


def test_secrets_and_passwords_are_not_repeated():
    with pytest.raises(WrongVariable, match=r"\*{7}") as caught:
        reader(A="hunter2").text("A", "", min_length=50)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(WrongVariable) as caught:
        reader(A="mysql://me:hunter2@db/x").url("A", "", schemes=("postgres",), example="postgres://h/x")
    assert "hunter2" not in str(caught.value)


def test_defaults_need_nothing_installed(tmp_path):
    environment = Environment.read({"LATHE_VAR_DIR": str(tmp_path)})
    assert environment.database_url == f"sqlite:///{tmp_path}/lathe.sqlite3"
    assert environment.redis_is_embedded
    assert environment.redis_url == f"unix://{tmp_path}/redis/redis.sock"
    assert environment.storage_url == f"file://{tmp_path}/files"
    assert not environment.debug
    assert not environment.uses_tls


def test_given_redis_is_not_the_bundled_one():
    environment = Environment.read({"REDIS_URL": "redis://broker:6379/1"})
    assert not environment.redis_is_embedded
    assert environment.redis_url == "redis://broker:6379/1"


def test_base_url_decides_about_tls_and_loses_its_last_slash():
    environment = Environment.read({"LATHE_BASE_URL": "https://lathe.example.org/"})
    assert environment.base_url == "https://lathe.example.org"
    assert environment.uses_tls


def test_socket_path_stays_short_enough_for_the_kernel(tmp_path):
    deep = tmp_path / ("deep" * 30)
    socket = Environment.read({"LATHE_VAR_DIR": str(deep)}).redis_socket
    assert len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT_BYTES
    assert socket == Environment.read({"LATHE_VAR_DIR": str(deep)}).redis_socket
    assert socket != Environment.read({"LATHE_VAR_DIR": str(deep) + "er"}).redis_socket
