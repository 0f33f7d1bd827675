"""Writes small recordings and what SciPy and nibabel read in them: .wav files, NIfTI files, recordings.json.

    pip install numpy scipy nibabel
    python tests/golden/recordings/make.py

Signals: PCM of 8, 16, 24 and 32 bits and floats, one channel or two; values in parts of full scale. Volumes: integers and real
numbers, either byte order, NIfTI-1 and -2, packed or not, scaled, with axes that point elsewhere (sform, qform, none), a fourth
axis; the values in the file's order and in that of RAS.
"""
import gzip
import json
import pathlib
import wave

import nibabel
import numpy as np
from scipy.io import wavfile

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
signals, volumes = [], []


def listed(x):
    return [float(v) for v in np.asarray(x, np.float32).ravel()]


def signal(name, bits):
    rate, read = wavfile.read(HERE / name)
    if read.dtype == np.uint8:
        values = (read.astype(float) - 128) / 128
    elif read.dtype.kind == 'i':
        # SciPy puts 24 bits into the upper ones of 32.
        values = read.astype(float) / 2.0 ** (31 if bits == 24 else bits - 1)
    else:
        values = read
    values = values.reshape(len(values), -1).T
    signals.append({'file': name, 'rate': rate, 'shape': list(values.shape), 'values': listed(values)})


for name, kind, bits, channels in [('u8', np.uint8, 8, 1), ('i16', np.int16, 16, 2), ('i32', np.int32, 32, 1), ('f32', np.float32, 32, 2)]:
    if kind == np.float32:
        x = rng.uniform(-1, 1, (20, channels)).astype(kind)
    else:
        about = np.iinfo(kind)
        x = rng.integers(about.min, about.max, (20, channels), endpoint=True).astype(kind)
        x[0], x[1] = about.min, about.max
    wavfile.write(HERE / f'{name}.wav', 8000 + bits, x if channels > 1 else x[:, 0])
    signal(f'{name}.wav', bits)
with wave.open(str(HERE / 'i24.wav'), 'wb') as file:
    file.setnchannels(2)
    file.setsampwidth(3)
    file.setframerate(44100)
    for v in [-(2**23), 2**23 - 1, *rng.integers(-(2**23), 2**23, 18)]:
        file.writeframesraw(int(v).to_bytes(3, 'little', signed=True))
signal('i24.wav', 24)


def volume(name, image):
    data = nibabel.as_closest_canonical(image)
    channels = lambda x: x.reshape(*x.shape[:3], -1).transpose(3, 0, 1, 2)
    known = image.header['sform_code'] > 0 or image.header['qform_code'] > 0
    volumes.append({
        'file': name,
        'shape': list(channels(image.get_fdata()).shape),
        'values': listed(channels(image.get_fdata())),
        'orientation': ''.join(nibabel.aff2axcodes(image.affine)) if known else None,
        'spacing': [float(v) for v in image.header.get_zooms()[:3]],
        'canonical': listed(channels(data.get_fdata())) if known else None,
        'turned': list(channels(data.get_fdata()).shape) if known else None,
    })


def turned(order, signs, sizes):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (body, sign) in enumerate(zip(order, signs)):
        affine[body, axis] = sign * sizes[axis]
    return affine


def oblique(affine):
    a, b = 0.3, 0.2
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    out = affine.copy()
    out[:3, :3] = x @ z @ affine[:3, :3]
    return out


def save(name, image, known='s'):
    image.header.set_sform(image.affine, 1 if 's' in known else 0)
    image.header.set_qform(image.affine, 1 if 'q' in known else 0)
    path = HERE / name
    if name.endswith('.gz'):
        path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    else:
        path.write_bytes(image.to_bytes())
    volume(name, nibabel.load(path))


whole = lambda kind: rng.integers(np.iinfo(kind).min // 2, np.iinfo(kind).max // 2, (2, 3, 4)).astype(kind)
save('u8.nii', nibabel.Nifti1Image(whole(np.uint8), turned([0, 1, 2], [1, 1, 1], [1, 2, 3])))
save('i16_las.nii.gz', nibabel.Nifti1Image(whole(np.int16), turned([0, 1, 2], [-1, 1, 1], [0.5, 1, 2])))
save('f32_spl.nii', nibabel.Nifti1Image(rng.normal(size=(2, 3, 4)).astype('f4'), oblique(turned([2, 1, 0], [1, -1, -1], [2, 1, 1]))))
save('f64_quaternion.nii.gz', nibabel.Nifti1Image(rng.normal(size=(2, 3, 4)), oblique(turned([1, 2, 0], [1, -1, 1], [1, 2, 1.5]))), 'q')
save('i32_nowhere.nii', nibabel.Nifti1Image(whole(np.int32), np.diag([1, 1, 2, 1.0])), '')
save('u16_second.nii', nibabel.Nifti2Image(whole(np.uint16), oblique(turned([0, 2, 1], [1, -1, -1], [1, 1, 3]))))
save('four.nii.gz', nibabel.Nifti1Image(rng.normal(size=(2, 3, 4, 2)).astype('f4'), turned([1, 0, 2], [-1, 1, -1], [1, 1, 1])))
big = nibabel.Nifti1Header(endianness='>')
big.set_data_dtype('>i2')
scaled = nibabel.Nifti1Image(np.zeros((2, 3, 4), '>i2'), turned([0, 1, 2], [-1, -1, 1], [1, 1, 1]), big)
scaled.header.set_sform(scaled.affine, 1)
raw = bytearray(scaled.to_bytes())
raw[112:120] = np.array([0.25, -3], '>f4').tobytes()
raw[352:] = rng.integers(-500, 500, (2, 3, 4)).astype('>i2').tobytes()
(HERE / 'scaled_big.nii').write_bytes(bytes(raw))
volume('scaled_big.nii', nibabel.load(HERE / 'scaled_big.nii'))

text = json.dumps({'signals': signals, 'volumes': volumes}, separators=(',', ':'))
(HERE / 'recordings.json').write_text(text.replace('},{', '},\n{') + '\n')
