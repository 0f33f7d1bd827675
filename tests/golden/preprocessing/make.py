"""Makes preprocessing.zip (cases.json in it): the inputs that the image processors of transformers and the transforms of timm and torchvision make
of a photo drawn by formula, each for a small configuration as it lies beside a net (engine/tests/it/configurations.rs).

Run `python make.py` with torch, torchvision, timm, transformers and Pillow (made with 2.15, 0.29, 1.0.31, 5.24 and 13.0; the
processors are those of transformers that resize by PIL).

A case has the name of the file, its JSON, the `model_type` of the configuration beside it where the processor is found by that, and
`x`, 3 x SIDE x SIDE values, row by row.
"""
import json
import os
import zipfile

import numpy as np
import timm.data
import torchvision.transforms as T
import transformers
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
SIDE = 12


def drawn(width, height):
    """The same formula as `drawn` in engine/tests/it/images.rs: ramps, a product and hard edges, in whole numbers."""
    y, x = np.mgrid[0:height, 0:width]
    checks = ((x // 5 + y // 7) % 2) * 120
    channels = [(x * 7 + y * 3 + checks) % 256, (x * y // 3 + checks) % 256, (x * 2 + y * 5 + (x * x // 9)) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


PHOTOS = {'wide': Image.fromarray(drawn(97, 61)), 'high': Image.fromarray(drawn(45, 70))}
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
HALF = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3)
DO = dict(do_resize=True, do_normalize=True)
SQUARE = dict(height=SIDE, width=SIDE)

# The class, what its configuration says, and the `model_type` where the class is not to be named.
PROCESSORS = [
    ('vit', 'ViT', dict(DO, **HALF, size=SQUARE, resample=2, do_rescale=True, rescale_factor=1 / 255), None),
    ('vit_number', 'ViT', dict(DO, **HALF, size=SIDE, resample=2), None),
    ('vit_by_model', 'ViT', dict(DO, **HALF, size=SIDE, resample=2), 'vit'),
    ('vit_silent', 'ViT', dict(size=SIDE), None),
    ('vit_raw', 'ViT', dict(size=SIDE, do_rescale=False, do_normalize=False), None),
    ('vit_unit', 'ViT', dict(size=SIDE, do_normalize=False), None),
    ('beit_number', 'Beit', dict(DO, **HALF, size=SIDE, crop_size=SIDE, do_center_crop=False, resample=2), None),
    ('segformer_number', 'Segformer', dict(DO, **IMAGENET, size=SIDE, resample=2, reduce_labels=True), None),
    ('dpt_number', 'DPT', dict(DO, **HALF, size=SIDE, resample=2, keep_aspect_ratio=False, ensure_multiple_of=1), None),
    ('deit_number', 'DeiT', dict(DO, **IMAGENET, size=15, crop_size=SIDE, do_center_crop=True, resample=3), None),
    ('clip_number', 'CLIP', dict(DO, **IMAGENET, size=13, crop_size=SIDE, do_center_crop=True, resample=3), None),
    ('bit', 'Bit', dict(DO, **HALF, size=dict(shortest_edge=15), crop_size=SQUARE, do_center_crop=True, resample=3), None),
    ('bit_silent', 'Bit', dict(size=dict(shortest_edge=13), crop_size=SQUARE), None),
    ('mobilenet', 'MobileNetV1', dict(DO, **HALF, size=dict(shortest_edge=17), crop_size=SQUARE, do_center_crop=True, resample=2), None),
    ('convnext', 'ConvNext', dict(DO, **IMAGENET, size=dict(shortest_edge=SIDE), crop_pct=0.875, resample=3), None),
    ('convnext_number', 'ConvNext', dict(DO, **IMAGENET, size=SIDE, resample=3), None),
    ('resnet_by_model', 'ConvNext', dict(DO, **IMAGENET, size=SIDE, crop_pct=0.7, resample=3), 'resnet'),
    ('poolformer', 'PoolFormer', dict(DO, **IMAGENET, size=dict(shortest_edge=SIDE), crop_size=SQUARE, crop_pct=0.9, resample=3), None),
    ('levit', 'Levit', dict(DO, **IMAGENET, size=dict(shortest_edge=SIDE), crop_size=SQUARE, do_center_crop=True, resample=3), None),
    ('mobilevit', 'MobileViT', dict(size=dict(shortest_edge=15), crop_size=SQUARE, do_center_crop=True, do_flip_channel_order=True, resample=2), None),
    ('mobilevit_silent', 'MobileViT', dict(HALF, size=dict(shortest_edge=15), crop_size=SQUARE), None),
    ('efficientnet', 'EfficientNet', dict(DO, image_mean=[0.485, 0.456, 0.406], image_std=[0.47853944, 0.4732864, 0.47434163], size=SQUARE, include_top=True, rescale_offset=False, do_center_crop=False, resample=0), None),
    ('efficientnet_bare', 'EfficientNet', dict(DO, **IMAGENET, size=SQUARE, include_top=False, resample=3), None),
    ('efficientnet_offset', 'EfficientNet', dict(do_normalize=False, size=SQUARE, include_top=False, rescale_offset=True, rescale_factor=1 / 127.5, resample=2), None),
]

TIMM = [
    ('timm_center', dict(crop_pct=0.9, crop_mode='center', interpolation='bicubic')),
    ('timm_usual', dict(interpolation='bilinear')),
    ('timm_odd', dict(crop_pct=0.8, crop_mode='center', interpolation='bicubic')),
    ('timm_squash', dict(crop_pct=1.0, crop_mode='squash', interpolation='bicubic')),
    ('timm_squash_and_crop', dict(crop_pct=0.8, crop_mode='squash', interpolation='nearest')),
]


def rounded(x):
    assert x.shape == (3, SIDE, SIDE), x.shape
    return [round(float(v), 4) for v in np.asarray(x, np.float64).ravel()]


def main():
    cases = []
    for name, cls, config, model_type in PROCESSORS:
        processor = getattr(transformers, f'{cls}ImageProcessorPil').from_dict(dict(config))
        file = dict(config) if model_type else dict(config, image_processor_type=f'{cls}ImageProcessor')
        for photo, image in PHOTOS.items():
            x = processor(image, return_tensors='np')['pixel_values'][0]
            cases.append(dict(name=name, file='preprocessor_config.json', config=file, model_type=model_type, photo=photo, x=rounded(x)))
    for name, config in TIMM:
        config = dict(config, input_size=[3, SIDE, SIDE], mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])
        transform = timm.data.create_transform(**timm.data.resolve_data_config({}, pretrained_cfg=config))
        for photo, image in PHOTOS.items():
            file = dict(architecture='resnet18', pretrained_cfg=config)
            cases.append(dict(name=name, file='config.json', config=file, model_type=None, photo=photo, x=rounded(transform(image).numpy())))
    # The convention of rounding alone.
    for short in (13, 15, 16, 17):
        transform = T.Compose([T.Resize(short, T.InterpolationMode.BICUBIC), T.CenterCrop(SIDE), T.ToTensor()])
        for photo, image in PHOTOS.items():
            cases.append(dict(name=f'torchvision_{short}', file=None, config=dict(resize=short, rounding='torchvision'), model_type=None, photo=photo, x=rounded(transform(image).numpy())))
    with zipfile.ZipFile(os.path.join(HERE, 'preprocessing.zip'), 'w', zipfile.ZIP_DEFLATED) as archive:
        # A time of its own would make the bytes differ.
        archive.writestr(zipfile.ZipInfo('cases.json'), json.dumps(cases), zipfile.ZIP_DEFLATED)


if __name__ == '__main__':
    main()
