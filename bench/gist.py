"""GIST of small pictures (A. Oliva, A. Torralba, IJCV 2001) as hashing papers use it on CIFAR-10: 4 scales x 8 orientations on 4 x 4 blocks, 512 numbers."""
import numpy as np

SCALES, ORIENTATIONS, BLOCKS = 4, 8, 4
PAD = 16  # mirrored at each side, so that filters meet no edge


def frequencies(n):
    f = np.fft.fftfreq(n) * n
    return np.meshgrid(f, f)


def gabor_bank(n):
    """Transfer functions, each a bump in log-free polar frequency: radius .3 n / 1.85^scale, one of 8 directions."""
    fx, fy = frequencies(n)
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    bank = []
    for scale in range(SCALES):
        for orientation in range(ORIENTATIONS):
            turned = angle + np.pi / ORIENTATIONS * orientation
            turned -= 2 * np.pi * np.round(turned / (2 * np.pi))
            across = 16 * ORIENTATIONS ** 2 / 32 ** 2
            bank.append(np.exp(-10 * 0.35 * (radius / n / (0.3 / 1.85 ** scale) - 1) ** 2 - 2 * across * np.pi * turned ** 2))
    return np.array(bank)


def prefilter(grey, cut=4):
    """Local contrast: low frequencies out, then divided by the local deviation."""
    n, pad = grey.shape[-1], 5
    padded = np.pad(np.log(grey + 1), ((0, 0), (pad, pad), (pad, pad)), mode="symmetric")
    fx, fy = frequencies(n + 2 * pad)
    low = np.exp(-(fx ** 2 + fy ** 2) * np.log(2) / cut ** 2)
    smooth = lambda x: np.fft.ifft2(np.fft.fft2(x) * low).real
    padded = padded - smooth(padded)
    return (padded / (0.2 + np.sqrt(np.abs(smooth(padded ** 2)))))[:, pad:-pad, pad:-pad]


def gist(pictures, chunk=100):
    """pictures: n x size x size x 3 bytes -> n x 512 float32."""
    size = pictures.shape[1]
    bank = gabor_bank(size + 2 * PAD)
    out = []
    for first in range(0, len(pictures), chunk):
        grey = prefilter(pictures[first:first + chunk].astype(np.float32).mean(3))
        spectrum = np.fft.fft2(np.pad(grey, ((0, 0), (PAD, PAD), (PAD, PAD)), mode="symmetric"))
        rows = []
        for transfer in bank:
            energy = np.abs(np.fft.ifft2(spectrum * transfer))[:, PAD:-PAD, PAD:-PAD]
            rows.append(energy.reshape(len(grey), BLOCKS, size // BLOCKS, BLOCKS, size // BLOCKS).mean((2, 4)).reshape(len(grey), -1))
        out.append(np.concatenate(rows, 1))
    return np.concatenate(out).astype(np.float32)
