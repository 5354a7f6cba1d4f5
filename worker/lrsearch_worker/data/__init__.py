"""Images: decoding, splits and augmentation."""
