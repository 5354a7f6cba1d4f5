"""Limits: how much an upload may hold before it is refused."""

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class IntakeLimits:
    """Upper bounds on one upload. The defaults take any data set that a finetune is meant for."""

    max_archive_bytes: int = 4 * GIB
    """Size of the archive as sent."""

    max_unpacked_bytes: int = 16 * GIB
    """Bytes that really come out of the archive, or that are read from a folder."""

    max_files: int = 500_000
    """Members, folders and ignored files included."""

    max_ratio: int = 200
    """Unpacked over packed bytes: of each member of a zip, of the whole of a compressed tar.

    Images hardly compress again; deflate bombs reach 1000.
    """

    ratio_floor_bytes: int = MIB
    """Up to so many unpacked bytes any ratio is right: small pictures of one colour compress so."""

    max_image_bytes: int = 64 * MIB
    """Size of one image file; a larger one counts as unreadable."""

    max_image_pixels: int = 100_000_000
    """Width × height of one image; a larger one counts as unreadable.

    Beyond 178,956,970 pixels Pillow's own guard refuses an image, whatever is set here.
    """

    max_labels: int = 10_000
    """Label folders."""

    max_label_characters: int = 200
    """Length of a label."""

    max_path_characters: int = 500
    """Length of a path within the upload."""

    max_unreadable_share: float = 0.1
    """Unreadable files over all files in label folders. Fewer are left out and listed."""
