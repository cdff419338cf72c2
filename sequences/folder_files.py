"""Files of a run on the command line: in a folder that is made when the first one is kept."""

import tempfile
from pathlib import Path

from sequences.domain.exchange import KeptFile, SendFailed


class FolderFiles:
    """A file store in a folder, without one in a new one among the system's temporary ones. Links are `file:` URIs."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: dict[str, KeptFile] = {}

    def keep(self, file: KeptFile) -> str:
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="sequence-"))
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{len(self._files) + 1}-{file.name}"
            path.write_bytes(file.content)
        except OSError as error:
            raise SendFailed(f"The answer cannot be kept as a file: {error}") from None
        link = path.absolute().as_uri()
        self._files[link] = file
        return link

    def read(self, link: str) -> KeptFile:
        if link not in self._files:
            raise SendFailed("The file is given by no link of one that this run has kept.")
        return self._files[link]
