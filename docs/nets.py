"""Exports some hundred nets, asks convscope about each, and writes the tables of docs/nets.md.

    pip install -r tests/golden/zoo/requirements.txt timm transformers
    python docs/nets.py FOLDER            export what is not there yet, compare, rewrite docs/nets.md
    python docs/nets.py FOLDER --export   only export
    python docs/nets.py FOLDER --compare  only compare
    cargo run --release -p convscope-engine --example onnx_coverage -- --probes FOLDER    run eight probes on each

Weights are random and nothing is downloaded. Of each net the forward pass is compared with onnxruntime's and the gradient with
PyTorch's in f64 (`cargo run --release -p convscope-engine --example onnx_coverage -- FOLDER`).
"""
import collections, json, os, re, subprocess, sys, warnings

warnings.filterwarnings('ignore')
os.environ['CUDA_VISIBLE_DEVICES'] = ''
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
torch.set_num_threads(1)
import onnxruntime as ort
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[1] if len(sys.argv) > 1 else 'nets'
NETS = {}


def add(name, shape, f, **o): NETS[name] = (f, shape, o)
I64 = (2, 3, 64, 64)
# Torchvision's classification nets of more weights differ from these in sizes alone.
MOST_WEIGHTS = 60e6


def classification_nets():
    import torchvision.models as M
    fixed = lambda n: 224 if n.startswith(('vit', 'swin', 'maxvit')) else 96 if n == 'inception_v3' else 64
    for n in M.list_models(module=M):
        weights = dict(weights=None, num_classes=10, **(dict(init_weights=False, aux_logits=False) if n in ('googlenet', 'inception_v3') else {}))
        if M.get_model_weights(n).DEFAULT.meta['num_params'] <= MOST_WEIGHTS:
            add('cls_' + n, (2, 3, fixed(n), fixed(n)), lambda n=n, weights=weights: getattr(M, n)(**weights))


def torchvision_nets():
    import torchvision.models as M
    tv = lambda n, size=64, **k: add('tv_' + n, (2, 3, size, size), lambda: getattr(M, n)(weights=None, num_classes=10, **k))
    add('tv_vit', I64, lambda: M.VisionTransformer(64, 16, 2, 4, 64, 128, num_classes=10))
    add('tv_swin', I64, lambda: M.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=10))
    from torchvision.models.swin_transformer import SwinTransformerBlockV2, PatchMergingV2
    add('tv_swin_v2', I64, lambda: M.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=10, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2))
    add('tv_maxvit', I64, lambda: M.MaxVit((64, 64), 16, 2, [16, 32], [1, 1], 8, 0.0, num_classes=10))
    for n in 'mobilenet_v3_small shufflenet_v2_x0_5 mnasnet0_5 regnet_y_400mf efficientnet_b0 squeezenet1_1'.split(): tv(n)
    tv('googlenet', init_weights=False, aux_logits=False); tv('inception_v3', 96, init_weights=False, aux_logits=False)
    import torchvision.models.segmentation as S
    class Out(nn.Module):
        def __init__(s, m): super().__init__(); s.m = m
        def forward(s, x): return s.m(x)['out']
    for n in M.list_models(module=S):
        add('tv_' + n, I64, lambda n=n: Out(getattr(S, n)(weights=None, weights_backbone=None, num_classes=5)))
    import torchvision.models.video as V
    v = (2, 3, 8, 32, 32)
    for n in 'r3d_18 mc3_18 r2plus1d_18'.split(): add('tv_' + n, v, lambda n=n: getattr(V, n)(weights=None, num_classes=10))
    add('tv_s3d', (2, 3, 16, 64, 64), lambda: V.s3d(weights=None, num_classes=10))
    from torchvision.models.video.swin_transformer import SwinTransformer3d
    add('tv_swin3d', (2, 3, 4, 32, 32), lambda: SwinTransformer3d([2, 4, 4], 24, [2, 2], [2, 4], [2, 4, 4], num_classes=10))
    import torchvision.models.detection as D
    class Heads(nn.Module):
        """A detector at its heads: one stage's classes and boxes, or the first stage's objectness and boxes."""
        def __init__(s, m): super().__init__(); s.b, s.h = m.backbone, m.head if hasattr(m, 'head') else m.rpn.head
        def forward(s, x):
            heads = s.h(list(s.b(x).values()))
            values = heads.values() if isinstance(heads, dict) else [v for each in heads for v in each]
            return torch.cat([v.flatten(1) for v in values], 1)
    class Regions(nn.Module):
        """A detector's second stage on two regions: classes and boxes, masks or key points."""
        def __init__(s, m):
            super().__init__(); s.b, s.h = m.backbone, m.roi_heads
            s.register_buffer('rois', torch.tensor([[0., 4, 6, 40, 50], [0, 20, 10, 60, 30]]))
        def forward(s, x):
            import torchvision.ops as O
            pool = lambda p: O.roi_align(s.b(x)['0'], s.rois, p.output_size[0], .25, p.sampling_ratio)
            made = list(s.h.box_predictor(s.h.box_head(pool(s.h.box_roi_pool))))
            if s.h.has_mask(): made.append(s.h.mask_predictor(s.h.mask_head(pool(s.h.mask_roi_pool))))
            if s.h.has_keypoint(): made.append(s.h.keypoint_predictor(s.h.keypoint_head(pool(s.h.keypoint_roi_pool))))
            return torch.cat([v.flatten().unsqueeze(0) for v in made], 1)
    def detector(n):
        return getattr(D, n)(weights=None, weights_backbone=None, num_classes=5, **(dict(num_keypoints=3) if 'keypoint' in n else {}))
    for n in M.list_models(module=D):
        size = 300 if n == 'ssd300_vgg16' else 128 if n.startswith('ssd') else 64
        add(f'tv_{n}_heads', (2, 3, size, size), lambda n=n: Heads(detector(n)))
        if 'rcnn' in n:
            add(f'tv_{n}_regions', (1, 3, 64, 64), lambda n=n: Regions(detector(n)), fixed=True)

def timm_nets():
    import timm
    def t(n, size=64, **k):
        add('timm_' + n, (2, 3, size, size), lambda: timm.create_model(n, pretrained=False, num_classes=10, **k))
    small = dict(img_size=64, depth=2, embed_dim=64, num_heads=4)
    for n in 'vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 beit_base_patch16_224 beitv2_base_patch16_224 deit3_small_patch16_224 vit_small_patch16_dinov3 eva02_tiny_patch14_224 vit_base_patch16_rope_224 vit_base_patch16_clip_224 vit_base_patch16_siglip_224 samvit_base_patch16 vit_relpos_small_patch16_224 vit_srelpos_small_patch16_224 vit_small_patch14_reg4_dinov2'.split():
        t(n, 56 if 'patch14' in n else 64, **dict(small, img_size=56 if 'patch14' in n else 64))
    t('cait_xxs24_224', **dict(img_size=64, depth=2)); t('xcit_nano_12_p16_224', depth=2); t('convit_tiny', img_size=64, depth=3)
    t('swin_tiny_patch4_window7_224', img_size=64, window_size=4, embed_dim=24, depths=(2, 2), num_heads=(2, 4))
    t('swinv2_tiny_window8_256', img_size=64, window_size=4, embed_dim=24, depths=(2, 2), num_heads=(2, 4))
    t('swin_s3_tiny_224', 224); t('swinv2_cr_tiny_224', 224)
    t('levit_128s', 224); t('coat_lite_tiny', img_size=64); t('pit_ti_224', 224); t('twins_svt_small', img_size=64); t('twins_pcpvt_small', img_size=64); t('visformer_tiny', img_size=64)
    t('volo_d1_224', img_size=64); t('crossvit_tiny_240', 240); t('mixer_s32_224', img_size=64); t('gmlp_ti16_224', img_size=64, num_blocks=3); t('resmlp_12_224', img_size=64, num_blocks=3)
    t('tnt_s_patch16_224', img_size=64, depth=2)
    for n in 'poolformer_s12 pvt_v2_b0 mobilevit_xxs mobilevitv2_050 edgenext_xx_small fastvit_t8 repvit_m0_9 efficientvit_b0 caformer_s18 mambaout_femto starnet_s1 mobilenetv4_hybrid_medium rdnet_tiny swiftformer_xs convmixer_768_32 focalnet_tiny_srf sequencer2d_s convnextv2_atto inception_next_tiny nextvit_small davit_tiny'.split(): t(n)
    t('efficientformer_l1', 224); t('efficientformerv2_s0', 224); t('tiny_vit_5m_224', 224); t('efficientvit_m0', 224); t('hiera_tiny_224', 224); t('gcvit_xxtiny', 224); t('nest_tiny', 224)
    t('coatnet_nano_rw_224', 64, img_size=64); t('maxvit_pico_rw_256', 64, img_size=64); t('shvit_s1', 224); t('vitamin_small_224', 224)
    t('halonet26t', 64); t('lambda_resnet26t', 64, img_size=64); t('botnet26t_256', 64, img_size=64); t('bat_resnext26ts', 64)
    for n in 'eca_nfnet_l0 nf_resnet50 resnetv2_50x1_bit nf_ecaresnet26 dm_nfnet_f0 regnetz_b16 hrnet_w18_small dla34 res2net50_26w_4s resnest14d cspdarknet53 ghostnet_100 ghostnetv2_100 tresnet_m ese_vovnet19b_dw mixnet_s tinynet_e fbnetc_100 rexnet_100 dpn68 selecsls42b xception41 mobilenetv4_conv_small resnet18d resnetblur18 resnetaa34d gernet_s seresnet18 skresnet18 efficientnet_lite0 tf_efficientnet_b0 tf_mobilenetv3_small_minimal_100 hgnetv2_b0 lcnet_050 repghostnet_050 darknet17 legacy_seresnet18 densenet121 cs3darknet_s mobileone_s0 repvgg_a0 gcresnet33ts ecaresnet26t convnext_atto_ols vgg11_bn'.split():
        try: t(n)
        except Exception: pass

def hand_nets():
    S = nn.Sequential
    class Fn(nn.Module):
        def __init__(s, f, **m):
            super().__init__(); s.f = f
            for k, v in m.items():
                if isinstance(v, nn.Module): setattr(s, k, v)
                elif isinstance(v, nn.Parameter): s.register_parameter(k, v)
                else: s.register_buffer(k, v)
        def forward(s, x): return s.f(s, x)
    h = lambda n, shape, f, **o: add('h_' + n, shape, f, **o)
    img, seq, vol = (2, 3, 16, 16), (2, 4, 32), (2, 2, 8, 10, 12)
    fn = lambda n, shape, f, **m: h(n, shape, lambda: Fn(f, **{k: v() if callable(v) and not isinstance(v, nn.Module) else v for k, v in m.items()}))
    conv = lambda: nn.Conv2d(3, 8, 3, padding=1)
    # 1-D
    h('conv1d', seq, lambda: S(nn.Conv1d(4, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3, 2, 1), nn.Conv1d(8, 8, 3, dilation=2, groups=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5)))
    h('conv1d_pool', seq, lambda: S(nn.Conv1d(4, 8, 3, padding='same'), nn.AvgPool1d(2), nn.GELU(), nn.InstanceNorm1d(8, affine=True), nn.Conv1d(8, 4, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, 3)))
    h('convt1d', seq, lambda: S(nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1), nn.ReLU(), nn.Conv1d(6, 2, 3), nn.Flatten(), nn.Linear(124, 3)))
    h('tcn_weightnorm', seq, lambda: S(nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 8, 3, padding=2, dilation=2)), nn.ReLU(), nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(8, 8, 3), nn.Upsample(scale_factor=2), nn.Flatten(), nn.LazyLinear(3)))
    h('conv1d_upsample_linear', seq, lambda: S(nn.Conv1d(4, 3, 3), nn.Upsample(scale_factor=2, mode='linear'), nn.ReflectionPad1d(2), nn.LPPool1d(2, 2), nn.Flatten(), nn.LazyLinear(3)))
    fn('lstm', seq, lambda s, x: s.o(s.l(x.transpose(1, 2))[0][:, -1]), l=lambda: nn.LSTM(4, 6, batch_first=True), o=lambda: nn.Linear(6, 3))
    fn('bilstm2', seq, lambda s, x: s.o(s.l(x.transpose(1, 2))[0].mean(1)), l=lambda: nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True), o=lambda: nn.Linear(10, 3))
    fn('gru', seq, lambda s, x: s.o(s.l(x.transpose(1, 2))[0][:, -1]), l=lambda: nn.GRU(4, 6, batch_first=True), o=lambda: nn.Linear(6, 3))
    fn('bigru', seq, lambda s, x: s.o(s.l(x.transpose(1, 2))[1].transpose(0, 1).flatten(1)), l=lambda: nn.GRU(4, 6, batch_first=True, bidirectional=True), o=lambda: nn.Linear(12, 3))
    fn('rnn', seq, lambda s, x: s.o(s.l(x.transpose(1, 2))[0][:, -1]), l=lambda: nn.RNN(4, 6, batch_first=True), o=lambda: nn.Linear(6, 3))
    fn('crnn', img, lambda s, x: s.o(s.l(s.c(x).relu().mean(2).transpose(1, 2))[0][:, -1]), c=conv, l=lambda: nn.LSTM(8, 6, batch_first=True), o=lambda: nn.Linear(6, 3))
    fn('transformer_encoder', seq, lambda s, x: s.o(s.e(s.p(x.transpose(1, 2))).mean(1)), p=lambda: nn.Linear(4, 16), e=lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0), 2, enable_nested_tensor=False), o=lambda: nn.Linear(16, 3))
    fn('mha', seq, lambda s, x: s.a(x.transpose(1, 2), x.transpose(1, 2), x.transpose(1, 2))[0].mean(1), a=lambda: nn.MultiheadAttention(4, 2, batch_first=True))
    # 3-D
    h('conv3d', vol, lambda: S(nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(6, 6, (1, 3, 3), stride=(1, 2, 1), groups=2), nn.ReLU(), nn.AvgPool3d((2, 1, 2)), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 4)))
    h('conv3d_dilated', vol, lambda: S(nn.Conv3d(2, 4, 3, dilation=(2, 1, 2), padding=(2, 0, 1)), nn.InstanceNorm3d(4, affine=True), nn.LeakyReLU(), nn.MaxPool3d(3, 2, 1), nn.GroupNorm(2, 4), nn.Flatten(), nn.LazyLinear(3)))
    h('convt3d', vol, lambda: S(nn.Conv3d(2, 4, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose3d(4, 3, 2, stride=2), nn.ReLU(), nn.Conv3d(3, 1, 1), nn.Flatten(), nn.LazyLinear(3)))
    h('unet3d', vol, lambda: S(nn.Conv3d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 4, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode='trilinear', align_corners=False), nn.Conv3d(4, 2, 1)))
    h('upsample3d_nearest', vol, lambda: S(nn.Conv3d(2, 4, 3, padding=1, stride=2), nn.Upsample(scale_factor=2), nn.Conv3d(4, 2, 1)))
    fn('pool3d_pad', vol, lambda s, x: F.adaptive_max_pool3d(F.avg_pool3d(F.max_pool3d(s.c(x), 3, 1, 1), 2, ceil_mode=True, padding=1, count_include_pad=False), 1).flatten(1), c=lambda: nn.Conv3d(2, 4, 3, padding=1))
    # einsum
    for n, e, sh in [('attn', 'bhid,bhjd->bhij', None), ('linear', 'bchw,oc->bohw', (5, 3)), ('rel', 'bchw,hk->bckw', (16, 7)), ('outer', 'bchw,bdhw->bcd', None), ('sum', 'bchw->bc', ()), ('perm', 'bchw->bhwc', ())]:
        if sh is None: fn('einsum_' + n, img, lambda s, x, e=e: torch.einsum(e, s.c(x), s.d(x)).flatten(1), c=lambda: nn.Conv2d(3, 4, 1), d=lambda: nn.Conv2d(3, 4, 1))
        elif sh == (): fn('einsum_' + n, img, lambda s, x, e=e: torch.einsum(e, s.c(x)).flatten(1), c=lambda: nn.Conv2d(3, 4, 1))
        else: fn('einsum_' + n, img, lambda s, x, e=e: torch.einsum(e, x, s.w).flatten(1), w=lambda sh=sh: nn.Parameter(torch.randn(*sh)))
    # elementwise
    for n, f in dict(sin=torch.sin, cos=torch.cos, tan=torch.tan, atan=torch.atan, asin=lambda x: torch.asin(x.clamp(-.9, .9)), acos=lambda x: torch.acos(x.clamp(-.9, .9)), sinh=torch.sinh, cosh=torch.cosh, asinh=torch.asinh, acosh=lambda x: torch.acosh(x.abs() + 1.1), atanh=lambda x: torch.atanh(x.clamp(-.9, .9)), erf=torch.erf, log1p=lambda x: torch.log1p(x.abs()), sign=torch.sign, floor=lambda x: x - torch.floor(x), ceil=lambda x: x * torch.ceil(x), round=lambda x: x - torch.round(x), hardshrink=F.hardshrink, softshrink=F.softshrink, hardtanh=F.hardtanh, mish=F.mish, celu=F.celu, selu=F.selu, softplus=lambda x: F.softplus(x, beta=2), relu6=F.relu6, hardswish=F.hardswish, logsigmoid=F.logsigmoid, threshold=lambda x: F.threshold(x, .1, 20.), rrelu=F.rrelu, pow=lambda x: x.abs().add(.1) ** 1.7, powx=lambda x: torch.pow(x.abs() + .5, x), exp2=lambda x: 2. ** x, maxmin=lambda x: torch.maximum(x, -x).clamp(max=1.5), where=lambda x: torch.where(x > 0, x, x.sin()), fmod=lambda x: torch.fmod(x, .7), remainder=lambda x: torch.remainder(x, .7), std=lambda x: x.std((2, 3)), var=lambda x: x.var(1), norm=lambda x: x.norm(dim=1), lse=lambda x: torch.logsumexp(x, 1), prod=lambda x: x[:, :, :3, :3].prod(3), amax=lambda x: x.amax((2, 3)), amin=lambda x: x.amin(1), cumsum=lambda x: x.cumsum(2), tril=lambda x: x.tril() + x.triu(2), flip=lambda x: x.flip(3), roll=lambda x: x.roll((2, 3), (2, 3)), l2norm=lambda x: F.normalize(x, dim=1), cosine=lambda x: F.cosine_similarity(x[:, :2], x[:, 1:], dim=1), topk=lambda x: x.flatten(1).topk(5)[0], sort=lambda x: x.flatten(2).sort(2)[0], kthmax=lambda x: x.max(2)[0], pixshuf=lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2) * x, meshgrid=lambda x: x * torch.linspace(0, 1, x.shape[3]), nan=lambda x: torch.nan_to_num(x.log()), glu=lambda x: F.glu(x, 2), softmax_ch=lambda x: x.softmax(1), softmin=lambda x: F.softmin(x, 3), hardmax=lambda x: x * F.one_hot(x.argmax(3), 16), pad_circ=lambda x: F.pad(x, (2, 3, 1, 0), mode='circular'), unfold=lambda x: F.unfold(x, 3, padding=1), bicubic=lambda x: F.interpolate(x, scale_factor=2, mode='bicubic'), bicubic_ac=lambda x: F.interpolate(x, (23, 9), mode='bicubic', align_corners=True), antialias=lambda x: F.interpolate(x, (7, 9), mode='bilinear', antialias=True), area=lambda x: F.interpolate(x, (8, 8), mode='area'), chunk=lambda x: torch.cat(x.chunk(4, 2)[::-1], 2), stack=lambda x: torch.stack([x, x * 2], 1).flatten(1), scatter=lambda x: torch.zeros_like(x).scatter(3, torch.arange(16).flip(0).expand(x.shape[0], 3, 16, 16), x), gather=lambda x: x.gather(2, torch.arange(8).view(1, 1, 8, 1).expand(x.shape[0], 3, 8, 16)), takegather=lambda x: x.gather(3, x.argsort(3)[..., :4]), masked=lambda x: x.masked_fill(torch.eye(16).bool(), -1.0), setitem=lambda x: _setitem(x), index=lambda x: x[:, :, [1, 3, 5], [2, 4, 6]], gram=lambda x: (x.flatten(2) @ x.flatten(2).transpose(1, 2)).flatten(1), bmm=lambda x: torch.matmul(x, x.transpose(2, 3)), grid=lambda x: F.grid_sample(x, F.affine_grid(torch.tensor([[[.9, .1, .05], [-.1, .8, 0.]]]).expand(x.shape[0], 2, 3), (x.shape[0], 3, 12, 12), align_corners=False), align_corners=False), grid_near=lambda x: F.grid_sample(x, torch.tanh(x[:, :2].permute(0, 2, 3, 1)) , align_corners=True, padding_mode='border'), lppool=lambda x: F.lp_pool2d(x.abs(), 2, 2), lrn=lambda x: F.local_response_norm(x, 3), fold=lambda x: F.fold(F.unfold(x, 2, stride=2), (16, 16), 2, stride=2), diag=lambda x: torch.diagonal(x, dim1=2, dim2=3), rep=lambda x: x.repeat_interleave(2, 3), tile=lambda x: x.repeat(1, 2, 1, 1), catbatch=lambda x: torch.cat([x, x.flip(3)], 0).softmax(1).chunk(2, 0)[0]).items():
        h('e_' + n, img, lambda f=f: Fn(lambda s, x: f(s.c(x)), c=nn.Conv2d(3, 3, 1)))
    def _setitem(x):
        y = x.clone(); y[:, 1] = y[:, 0] * 2; y[:, :, 3:5] = 0.5; return y
    globals()['_setitem'] = _setitem
    h('stn', img, lambda: Fn(lambda s, x: F.grid_sample(x, F.affine_grid(s.l(x.mean((2, 3))).view(-1, 2, 3) * .3 + torch.tensor([[[1., 0, 0], [0, 1, 0]]]), x.shape, align_corners=False), align_corners=False), l=nn.Linear(3, 6)))
    h('deform', img, lambda: Fn(lambda s, x: __import__('torchvision').ops.deform_conv2d(x, s.o(x), s.w, padding=1), o=nn.Conv2d(3, 18, 3, padding=1), w=nn.Parameter(torch.randn(4, 3, 3, 3))))
    h('roialign', img, lambda: Fn(lambda s, x: __import__('torchvision').ops.roi_align(x, torch.tensor([[0., 1, 2, 9, 11], [0, 0, 0, 15, 15]]), 4, 1.0, 2), c=conv()), fixed=1)
    # yolo-like head with decoding
    def yolo(s, x):
        f = [s.a(x), s.b(s.a(x))]
        out = []
        for i, (m, st) in enumerate(zip(f, (2, 4))):
            p = s.h(m); n, _, hh, ww = p.shape
            p = p.view(n, 2, 8, hh, ww).permute(0, 1, 3, 4, 2)
            y, xx = torch.meshgrid(torch.arange(hh), torch.arange(ww), indexing='ij')
            g = torch.stack([xx, y], -1).view(1, 1, hh, ww, 2).float()
            xy = (p[..., :2].sigmoid() * 2 - .5 + g) * st; wh = (p[..., 2:4].sigmoid() * 2) ** 2 * s.an[i].view(1, 2, 1, 1, 2)
            out.append(torch.cat([xy, wh, p[..., 4:].sigmoid()], -1).view(n, -1, 8))
        return torch.cat(out, 1)
    h('yolo5', img, lambda: Fn(yolo, a=nn.Conv2d(3, 8, 3, 2, 1), b=nn.Conv2d(8, 8, 3, 2, 1), h=nn.Conv2d(8, 16, 1), an=torch.rand(2, 2, 2) + 1))
    def yolo8(s, x):
        f = [s.a(x), s.b(s.a(x))]; n = x.shape[0]
        raw = torch.cat([s.h(m).view(n, 20, -1) for m in f], 2)
        box, cls = raw.split((16, 4), 1)
        b, c, a = box.shape
        d = s.dfl(box.view(b, 4, 4, a).transpose(2, 1).softmax(1)).view(b, 4, a)
        pts = torch.cat([torch.stack([t.flatten() for t in torch.meshgrid(torch.arange(m.shape[2]) + .5, torch.arange(m.shape[3]) + .5, indexing='ij')][::-1]) for m in f], 1)
        st = torch.cat([torch.full((1, m.shape[2] * m.shape[3]), float(16 // m.shape[2])) for m in f], 1)
        lt, rb = d.chunk(2, 1); x1, x2 = pts - lt, pts + rb
        return torch.cat([torch.cat([(x1 + x2) / 2, x2 - x1], 1) * st, cls.sigmoid()], 1)
    h('yolo8', img, lambda: Fn(yolo8, a=nn.Conv2d(3, 8, 3, 2, 1), b=nn.Conv2d(8, 8, 3, 2, 1), h=nn.Conv2d(8, 20, 1), dfl=nn.Conv2d(4, 1, 1, bias=False)))
    class WS(nn.Conv2d):
        def forward(s, x):
            w = F.batch_norm(s.weight.reshape(1, s.out_channels, -1), None, None, training=True, momentum=0., eps=1e-6).reshape_as(s.weight)
            return F.conv2d(x, w, s.bias, s.stride, s.padding)
    h('weight_std', img, lambda: S(WS(3, 8, 3, padding=1), nn.ReLU(), WS(8, 4, 3), nn.Flatten(), nn.LazyLinear(3)))
    class Pool1(nn.Module):
        def forward(s, x): return x.mean((2, 3))
    h('bn1d', img, lambda: S(conv(), Pool1(), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)))
    h('audio_stft', (2, 1, 256), lambda: Fn(lambda s, x: s.o((s.c(x) ** 2).view(x.shape[0], 2, 17, -1).sum(1).add(1e-6).log().mean(2)), c=nn.Conv1d(1, 34, 32, 16, bias=False), o=nn.Linear(17, 3)))
    h('mlp', (2, 20), lambda: S(nn.Linear(20, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 4)))
    h('hwc_attention', img, lambda: Fn(lambda s, x: F.scaled_dot_product_attention(s.q(x).flatten(2).transpose(1, 2), s.k(x).flatten(2).transpose(1, 2), s.v(x).flatten(2).transpose(1, 2)).mean(1), q=nn.Conv2d(3, 4, 1), k=nn.Conv2d(3, 4, 1), v=nn.Conv2d(3, 4, 1)))
    h('rms', seq, lambda: Fn(lambda s, x: F.rms_norm(s.l(x.transpose(1, 2)), (8,), s.w, 1e-6).mean(1), l=nn.Linear(4, 8), w=nn.Parameter(torch.rand(8))))
    h('posemb_interp', img, lambda: Fn(lambda s, x: (s.c(x) + F.interpolate(s.pe, x.shape[2:], mode='bicubic')).mean((2, 3)), c=conv(), pe=nn.Parameter(torch.randn(1, 8, 7, 7))))

def transformers_nets():
    """Hugging Face's architectures, small, with random weights; the first output of each."""
    import transformers as T
    T.utils.logging.set_verbosity_error()
    class First(nn.Module):
        def __init__(s, m): super().__init__(); s.m = m
        def forward(s, x): return next(v for v in s.m(x, return_dict=True).values() if isinstance(v, torch.Tensor))
    def hf(name, task, config, shape=(2, 3, 64, 64)):
        make = lambda: First(getattr(T, name + task)(getattr(T, name + 'Config')(**config)))
        add('hf_' + name.lower() + ('' if task == CLASSES else '_' + task[3:].lower()), shape, make)
    CLASSES = 'ForImageClassification'
    four = lambda key, widths=(16, 32, 40, 64): {key: list(widths), 'depths': [1, 1, 1, 1], 'num_labels': 7}
    heads = {'num_attention_heads': [1, 2, 4, 8]}
    vit = dict(image_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=7)
    dino = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=7, image_size=70)
    mobile = dict(image_size=64, hidden_sizes=[24, 32, 40], neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64], num_labels=7)
    clip = {**vit, 'patch_size': 16, 'projection_dim': 16}
    resnet = lambda **o: T.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], **o)
    hf('ResNet', CLASSES, dict(embedding_size=16, **four('hidden_sizes')))
    hf('RegNet', CLASSES, dict(embedding_size=16, groups_width=8, **four('hidden_sizes', (16, 32, 48, 64))))
    for n in ('ConvNext', 'ConvNextV2', 'PoolFormer', 'PvtV2'): hf(n, CLASSES, four('hidden_sizes'))
    hf('MobileNetV1', CLASSES, dict(depth_multiplier=0.25, num_labels=7)); hf('MobileNetV2', CLASSES, dict(depth_multiplier=0.35, num_labels=7))
    hf('MobileNetV2', 'ForSemanticSegmentation', dict(depth_multiplier=0.35, num_labels=7))
    hf('MobileViT', CLASSES, mobile); hf('MobileViT', 'ForSemanticSegmentation', mobile)
    hf('Segformer', CLASSES, {**four('hidden_sizes'), **heads}); hf('Segformer', 'ForSemanticSegmentation', {**four('hidden_sizes'), **heads, 'decoder_hidden_size': 32})
    hf('GLPN', 'ForDepthEstimation', {**four('hidden_sizes'), **heads, 'decoder_hidden_size': 32})
    hf('Pvt', CLASSES, {**four('hidden_sizes'), 'image_size': 64})
    hf('DPT', 'ForDepthEstimation', {**vit, 'num_hidden_layers': 4, 'backbone_out_indices': [0, 1, 2, 3], 'neck_hidden_sizes': [8, 16, 24, 32], 'fusion_hidden_size': 16})
    for n in ('ViT', 'DeiT', 'ViTMSN', 'IJepa'): hf(n, CLASSES, vit)
    for n in ('Beit', 'Data2VecVision'): hf(n, CLASSES, {**vit, 'use_relative_position_bias': True})
    hf('Dinov2', CLASSES, dino, (2, 3, 70, 70)); hf('Dinov2WithRegisters', CLASSES, dino, (2, 3, 70, 70))
    hf('Swinv2', CLASSES, {**four('num_heads', (1, 2, 4, 8)), 'image_size': 64, 'embed_dim': 16, 'window_size': 4})
    hf('Hiera', CLASSES, {**four('num_heads', (1, 2, 4, 8)), 'image_size': [64, 64], 'embed_dim': 16})
    hf('FocalNet', CLASSES, dict(image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_labels=7)); hf('SwiftFormer', CLASSES, {**four('embed_dims'), 'image_size': 64})
    hf('Levit', CLASSES, dict(image_size=64, hidden_sizes=[32, 48, 64], num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8], num_labels=7))
    hf('TextNet', CLASSES, dict(num_labels=7))
    hf('CLIPVision', 'ModelWithProjection', clip); hf('SiglipVision', 'Model', clip)
    hf('Swin2SR', 'ForImageSuperResolution', dict(image_size=32, embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=4, upscale=2), (2, 3, 32, 32))
    queries = dict(d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=9, num_labels=7)
    hf('Detr', 'ForObjectDetection', dict(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=resnet(out_features=['stage4']), **queries))
    hf('Yolos', 'ForObjectDetection', {**vit, 'image_size': [64, 64], 'num_detection_tokens': 9})
    deep = T.RTDetrResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 1, 1], out_features=['stage2', 'stage3', 'stage4'])
    hf('RTDetr', 'ForObjectDetection', {**queries, 'encoder_hidden_dim': 32, 'decoder_in_channels': [32] * 3, 'encoder_in_channels': [32, 48, 64], 'backbone': None, 'backbone_config': deep})
    hf('MaskFormer', 'ForInstanceSegmentation', dict(num_labels=7))
    video = {**vit, 'image_size': 32, 'num_frames': 4, 'patch_size': 16}
    hf('Timesformer', 'ForVideoClassification', video, (2, 4, 3, 32, 32)); hf('VideoMAE', 'ForVideoClassification', {**video, 'tubelet_size': 2}, (2, 4, 3, 32, 32))
    hf('AST', 'ForAudioClassification', {**{k: v for k, v in vit.items() if k != 'image_size'}, 'max_length': 128, 'num_mel_bins': 32}, (2, 128, 32))
    hf('Wav2Vec2', 'ForSequenceClassification', {**{k: v for k, v in vit.items() if k != 'image_size'}, 'conv_dim': [32] * 7, 'num_conv_pos_embeddings': 16, 'num_conv_pos_embedding_groups': 4}, (2, 8000))


groups = dict(cls=classification_nets, tv=torchvision_nets, timm=timm_nets, hand=hand_nets, hf=transformers_nets)

def shorten(path, kind, x):
    """The file at `path` with weights of 16 bits, or with weights and values of 8; of 16 bits, what the rounded weights give in f32."""
    import onnx
    if kind == 'half':
        net = onnx.load(path)
        for t in net.graph.initializer:
            if t.data_type == onnx.TensorProto.FLOAT:
                values = onnx.numpy_helper.to_array(t).astype(np.float16).astype(np.float32)
                t.CopyFrom(onnx.numpy_helper.from_array(values, t.name))
        onnx.save(net, path)
        y = ort.InferenceSession(path, providers=['CPUExecutionProvider']).run(None, {'x': x})[0]
        from onnxruntime.transformers.float16 import convert_float_to_float16
        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
        return y
    from onnxruntime.quantization import quantize_static, CalibrationDataReader, QuantFormat
    class Inputs(CalibrationDataReader):
        left = [x]
        def get_next(s): return {'x': s.left.pop()} if s.left else None
    Inputs.left = [x]
    quantize_static(path, path + '.q', Inputs(), quant_format=QuantFormat.QDQ, per_channel=True)
    os.replace(path + '.q', path)


def export(name, f, shape, o, kind):
    folder = f'{OUT}/{name}.{kind}'
    if os.path.exists(folder + '/done'): return
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    m = f().eval()
    torch.manual_seed(1)
    x = torch.randn(*((1,) + tuple(shape[1:]) if o.get('fixed') else shape))
    with torch.no_grad():
        m(x)
        for k, b in m.named_buffers():
            if k.endswith('running_var'): b.copy_(torch.rand_like(b) + .5)
            if k.endswith('running_mean'): b.copy_(torch.randn_like(b) * .1)
        for k, p in m.named_parameters():
            if p.dim() == 1 and p.std() == 0 if p.numel() > 1 else False: p.add_(torch.randn_like(p) * .1)
    path = folder + '/model.onnx'
    if kind == 'dyn':
        dims = None if o.get('fixed') else ({0: torch.export.Dim('batch')},)
        try: torch.onnx.export(m, (x,), path, dynamo=True, dynamic_shapes=dims, input_names=['x'], output_names=['y'], external_data=False, verbose=False)
        except Exception:
            x = x[:1]; torch.onnx.export(m, (x,), path, dynamo=True, input_names=['x'], output_names=['y'], external_data=False, verbose=False)
    else:
        axes = dict(x={0: 'N'}, y={0: 'N'}) if kind != 'ts20' and not o.get('fixed') else None
        if axes is None: x = x[:1]
        torch.onnx.export(m, (x,), path, dynamo=False, opset_version=17 if kind != 'ts20' else 20, input_names=['x'], output_names=['y'], dynamic_axes=axes, do_constant_folding=True)
    y = shorten(path, kind, x.numpy()) if kind in ('half', 'qdq') else None
    so = ort.SessionOptions(); so.intra_op_num_threads = 1; so.log_severity_level = 4
    if kind == 'qdq': so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        if kind != 'half': y = ort.InferenceSession(path, so, providers=['CPUExecutionProvider']).run(None, {'x': x.numpy()})[0]
    except Exception as e:
        print('  ort fails', str(e)[:150])
        with torch.no_grad(): y = m(x).numpy()
    with torch.no_grad(): yt = m(x); yt = yt[0] if isinstance(yt, (tuple, list)) else yt
    diff = float(np.abs(y - yt.numpy()).max() / max(np.abs(y).max(), 1e-30)) if y.shape == tuple(yt.shape) else -1
    rs = torch.manual_seed(2); r = torch.randn(*yt.shape, dtype=torch.float64)
    def grad(dt):
        mm = m.to(dt); xx = x.to(dt).requires_grad_()
        out = mm(xx); out = out[0] if isinstance(out, (tuple, list)) else out
        return torch.autograd.grad((out * r.to(dt)).sum(), xx)[0].double().numpy()
    np.save(folder + '/x.npy', x.numpy()); np.save(folder + '/y.npy', y.astype(np.float32)); np.save(folder + '/r.npy', r.numpy().astype(np.float32))
    g32 = g64 = None
    try:
        assert kind not in ('half', 'qdq'), 'the forward pass alone'
        g32 = grad(torch.float32)
        g64 = grad(torch.float64)
    except Exception as e: print('  no gradient', str(e)[:100])
    if g64 is None: g64 = g32
    if g64 is not None:
        np.save(folder + '/g.npy', g64.astype(np.float32))
        off = np.abs(g32 - g64).max() / max(np.abs(g64).max(), 1e-30)
    else: off = -1
    json.dump(dict(torch_vs_ort=diff, g32=float(off)), open(folder + '/done', 'w'))

KINDS = {'cls': 'torchvision: every classification net of up to 60 million weights', 'tv': 'torchvision: classification, segmentation, video, detectors at their heads and on given regions', 'timm': 'timm: convolutional nets, transformers, hybrids', 'hf': 'transformers: classification, segmentation, depth, detection, video, audio', 'h_e': 'one operation behind a convolution', 'h': 'signals, volumes, recurrent layers, Einsum, detectors\' decoding'}
EXPORTERS = {'ts': 'TorchScript, opset 17, open batch', 'dyn': 'dynamo', 'half': 'TorchScript, weights of 16 bits, the forward pass alone', 'qdq': 'TorchScript, 8 bits (QDQ), the forward pass alone'}
# Nets that are written with weights of 16 and of 8 bits, too.
SHORT = 'cls_resnet18 cls_mobilenet_v2 cls_mobilenet_v3_small cls_squeezenet1_1 cls_shufflenet_v2_x0_5 cls_mnasnet0_5 cls_regnet_y_400mf cls_efficientnet_b0 cls_densenet121 cls_googlenet timm_convnext_atto_ols tv_vit'.split()


def export_all():
    for group, make in groups.items():
        make()
    for name, (f, shape, o) in NETS.items():
        kinds = ['ts'] + ['dyn'] * name.startswith(('h_', 'tv_', 'hf_', 'cls_')) + ['half', 'qdq'] * (name in SHORT)
        for kind in kinds:
            try:
                export(name, f, shape, o, kind)
            except Exception as e:
                print('not exported', name, kind, type(e).__name__, str(e).replace('\n', ' ')[:100], flush=True)


def compare_all():
    run = ['cargo', 'run', '--release', '-q', '-p', 'convscope-engine', '--example', 'onnx_coverage', '--', OUT]
    lines = subprocess.run(run, capture_output=True, text=True, check=True, cwd=os.path.dirname(HERE)).stdout.splitlines()
    write(lines)


def write(lines):
    """The tables between the marks of nets.md, made of the lines that the example prints."""
    rows, reasons = collections.defaultdict(lambda: [0, 0, 0]), []
    for line in lines:
        match = re.match(r'(ok|FAIL) +(\S+)\.(\w+) (.*)', line)
        if not match:
            continue
        how, name, kind, rest = match.groups()
        group = next(k for k in ('cls', 'tv', 'timm', 'hf', 'h_e', 'h') if name.startswith(k))
        row = rows[group, kind]
        off = rest.startswith(('forward off', 'gradient off'))
        row[0] += 1
        row[1] += how == 'ok' or off
        row[2] += how == 'ok'
        if how != 'ok':
            why = rest if off else re.sub(r'`[^`]*model.onnx`: ', '', rest).split(' hint:')[0]
            reasons.append(f'| {name} | {EXPORTERS[kind].replace(", opset 17, open batch", "").replace(", the forward pass alone", "")} | {why[:160].replace("|", "/")} |')
    table = ['| nets | exporter | files | load | agree |', '| --- | --- | --- | --- | --- |']
    table += [f'| {KINDS[g]} | {EXPORTERS[k]} | {n} | {a} | {b} |' for (g, k), (n, a, b) in rows.items()]
    total = [sum(r[i] for r in rows.values()) for i in range(3)]
    table += [f'| all | | {total[0]} | {total[1]} | {total[2]} |', '',
              'Those that do not load, or do not agree:', '', '| net | exporter | why |', '| --- | --- | --- |', *reasons]
    path = os.path.join(HERE, 'nets.md')
    text = open(path).read()
    start, end = '<!-- made by nets.py -->\n', '<!-- end -->'
    before, rest = text.split(start)
    open(path, 'w').write(before + start + '\n'.join(table) + '\n' + end + rest.split(end)[1])


if __name__ == '__main__':
    if '--compare' not in sys.argv:
        export_all()
    if '--export' not in sys.argv:
        compare_all()
