"""Root file systems: programs of this machine, read only, and beside them only what an image and its host bring."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHARED = ("/usr", str(Path(sys.base_prefix)))
"""What images have in common: the system's programs and Python."""
KERNEL = ("/proc", "/sys", "/dev")
_ENTER = """
root=$1; shift
while [ "$1" != -- ]; do
    mount --rbind --make-rslave "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
cd "$root"
exec chroot "$root" "$@"
"""


@dataclass
class Root:
    """A folder to change the root to. `mounts` are folders of this machine by their place in it; true: writable."""

    folder: Path
    mounts: dict[str, tuple[Path, bool]] = field(default_factory=dict)

    @classmethod
    def bare(cls, folder: Path) -> Root:
        """A root with the system's programs and a writable copy of its settings."""
        folder.mkdir(parents=True)
        shutil.copytree("/etc", folder / "etc", symlinks=True, ignore_dangling_symlinks=True)
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if Path("/", name).is_symlink():
                (folder / name).symlink_to(f"usr/{name}")
        for name in ("tmp", "run"):
            (folder / name).mkdir()
            (folder / name).chmod(0o1777)
        root = cls(folder)
        for place in SHARED:
            root.mount(Path(place), place)
        return root

    def mount(self, source: Path, place: str, *, writable: bool = False) -> None:
        folder = self.folder
        for part in Path(place).parts[1:]:
            folder /= part
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o755)
        self.mounts[place] = (source, writable)

    def command(
        self,
        words: Sequence[str],
        *,
        variables: Mapping[str, str],
        user: str = "root",
        folder: str = "/",
        namespace: str | None = None,
    ) -> list[str]:
        """The command line that runs `words` in this root as `user`, with these variables and no other."""
        mounts = []
        for place, (source, writable) in self.mounts.items():
            mounts += [str(source), place, "rw" if writable else "ro"]
        for place in KERNEL:
            (self.folder / place[1:]).mkdir(exist_ok=True)
            mounts += [place, place, "rw"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user != "root" else []
        inner = ["sh", "-c", f"cd {shlex.quote(folder)} && exec {shlex.join([*become, *words])}"]
        given = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        network = ["ip", "netns", "exec", namespace] if namespace else []
        unshared = [*network, "unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "enter"]
        return [*unshared, str(self.folder), *mounts, "--", *given, *inner]

    def run(self, words: Sequence[str], **options: object) -> None:
        """Runs a command to its end. Raises `CalledProcessError`, after it has said why."""
        subprocess.run(self.command(words, **options), check=True)  # type: ignore[arg-type]
