"""How much is taken in at most."""

from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class IntakeLimits:
    """Bounds on archives and folders; far above an honest data set for finetuning."""

    max_archive_bytes: int = 4 * GIB
    max_unpacked_bytes: int = 16 * GIB
    max_files: int = 500_000
    max_ratio: float = 200.0
    """Unpacked over packed bytes; images hardly shrink, bombs do by a thousand."""
    ratio_floor_bytes: int = 64 * MIB
    """Unpacked bytes from which the ratio is looked at."""
    max_image_bytes: int = 64 * MIB
    max_image_pixels: int = 100_000_000
    max_labels: int = 10_000
    max_path_length: int = 500
    max_unreadable_share: float = 0.1
    """Of all images; up to this share they are left out and listed, above it something is wrong."""
