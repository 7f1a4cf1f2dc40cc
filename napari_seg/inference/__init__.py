"""Running networks on images: devices, tiles, planes, labels."""
