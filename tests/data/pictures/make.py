"""Small pictures of every kind that is read, and beside each the pixels that Pillow 13.0 makes of
it: NAME.rgb, or NAME.grey where the picture is grey. Run in this folder."""

import io

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 21, 26


def scene():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(5).normal(0, 9, (HEIGHT, WIDTH, 3))
    waves = [127 + 90 * np.sin(x / 4 + y / 9), 40 + 8 * y, 250 - 7 * x]
    return Image.fromarray((np.stack(waves, -1) + noise).clip(0, 255).astype("uint8"))


def keep(name, content):
    with open(name, "wb") as file:
        file.write(content)
    picture = ImageOps.exif_transpose(Image.open(name))
    if picture.mode == "I;16":
        pixels, end = (np.asarray(picture) >> 8).astype("uint8"), "grey"
    else:
        is_grey = picture.mode in ("1", "L", "LA")
        pixels, end = np.asarray(picture.convert("L" if is_grey else "RGB")), "grey" if is_grey else "rgb"
    with open(f"{name}.{end}", "wb") as file:
        file.write(pixels.tobytes())


def save(name, picture, **more):
    content = io.BytesIO()
    picture.save(content, {"jpg": "JPEG", "webp": "WEBP"}.get(name.split(".")[-1], name.split(".")[-1].upper()), **more)
    keep(name, content.getvalue())


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


colours = scene()
alpha = colours.copy()
alpha.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
save("baseline.jpg", colours, quality=90, subsampling=2)
save("fine.jpg", colours, quality=75, subsampling=0, optimize=True)
save("restarts.jpg", colours, quality=80, subsampling=1, restart_marker_blocks=1)
save("progressive.jpg", colours, quality=80, subsampling=2, progressive=True)
save("progressive-restarts.jpg", colours, quality=60, progressive=True, restart_marker_rows=1)
save("grey.jpg", colours.convert("L"), quality=70)
save("inks.jpg", colours.convert("CMYK"), quality=85)
save("rgb.jpg", colours, quality=85, keep_rgb=True)
for orientation in range(1, 9):
    save(f"turned-{orientation}.jpg", colours, quality=70, exif=turned(orientation))
save("turned.png", colours, exif=turned(6))
save("turned.webp", colours, lossless=True, exif=turned(8))
save("colours.png", colours)
save("grey.png", colours.convert("L"))
save("grey-alpha.png", colours.convert("LA"))
save("alpha.png", alpha)
save("palette.png", colours.quantize(7))
save("palette-clear.png", colours.quantize(7), transparency=2)
save("bits.png", colours.convert("1"))
save("deep.png", Image.fromarray((np.asarray(colours.convert("L")).astype("uint16") * 250 + 77)))
save("frame.gif", colours.quantize(16))
save("frames.gif", colours.quantize(16), save_all=True, append_images=[colours.rotate(9).quantize(5)])
save("clear.gif", colours.quantize(8), transparency=3)
save("colours.bmp", colours)
save("palette.bmp", colours.quantize(16))
save("alpha.bmp", alpha)
save("lossy.webp", colours, quality=70)
save("lossless.webp", colours, lossless=True)
save("alpha.webp", alpha, lossless=True, exact=True)
save("frames.webp", colours, lossless=True, save_all=True, append_images=[colours.rotate(9)])
