//! Networks over images: what their configurations mean, and how checkpoints name their tensors.
//!
//! Vision transformers are in `vit`, by the keys of timm and of Hugging Face. Of the others two
//! dialects are read. With `"model_type": "resnet"` it is Hugging Face's ResNet, with
//! the keys of `ResNetConfig`. With `architecture` and no `model_type` it is timm's:
//!
//! | key              | meaning                                       | when it is not there     |
//! |------------------|-----------------------------------------------|--------------------------|
//! | `architecture`   | `resnet50`, `resnet20` (CIFAR), `vgg16_bn`    | required                 |
//! | `num_classes`    | classes                                       | as the labels, or 1000   |
//! | `label_names`    | a list of names                               | `LABEL_0`, `LABEL_1` ... |
//! | `id2label`       | the names as Hugging Face writes them         |                          |
//! | `pretrained_cfg` | how a picture becomes an input, see below     | as ImageNet, or as CIFAR |
//!
//! and of our own:
//!
//! | key             | meaning                                                                   |
//! |-----------------|---------------------------------------------------------------------------|
//! | `stride_in_1x1` | true: a bottleneck's stride is in its first convolution (v1), not the 3x3 |
//! | `channel_order` | `"bgr"`: the network reads blue first; `"rgb"` otherwise                  |
//! | `depths`        | blocks of each stage (VGG: convolutions before each pool)                 |
//! | `widths`        | channels of each stage; the inner ones of bottlenecks                     |
//! | `stem_width`    | channels behind a ResNet's first convolution; the first of `widths`       |
//! | `hidden_width`  | channels of VGG's two hidden linear layers                                |
//!
//! How a picture becomes an input is in `pretrained_cfg`, or flat beside `architecture` where there
//! is no such object, as older versions of timm wrote it; for Hugging Face's networks it is in the
//! `preprocessor_config.json` beside `config.json`:
//!
//! | `pretrained_cfg` | without it                    | `preprocessor_config.json`             |
//! |------------------|-------------------------------|----------------------------------------|
//! | `input_size`     | 3x224x224 (CIFAR's 3x32x32)   | `crop_size`, or `size`                 |
//! | `crop_pct`       | 0.875 (1)                     | `crop_pct`, or `crop_size` and `size`  |
//! | `crop_mode`      | `center`; `squash`            | by `image_processor_type`              |
//! | `interpolation`  | bicubic, as timm (bilinear)   | `resample`, by Pillow's number         |
//! | `mean`, `std`    | ImageNet's; grey 0.449, 0.226 | `image_mean`, `image_std`, `do_normalize` |
//! |                  |                               | `do_rescale`, `rescale_factor`         |
//!
//! Where Hugging Face's `config.json` of a ResNet stands alone, pictures are resized by the
//! bilinear filter, as torchvision's weights ask for. `num_classes` and `in_chans` may also stand
//! in `model_args`.
//!
//! timm's `vit` and `deit` read pictures of the side in their names, of which they keep 0.9, or all
//! from 384 on; mean and deviation of `vit` are 0.5. Those of Hugging Face without a
//! `preprocessor_config.json` read pictures as their own processors do where nothing is told.
//!
//! Every picture becomes an input of one size. The processors of Hugging Face that are followed,
//! each by its own arithmetic and with its own defaults, are those of ConvNext (which is also
//! ResNet's), ViT, BiT, CLIP, DeiT and MobileNet; one that leaves pictures of several sizes is
//! refused. Keys that change a network in other ways are refused by name: they are listed in
//! `keys/images.rs`.

mod architecture;
mod assemble;
mod build;
mod config;
mod hugging_face;
mod preprocessing;
mod preprocessor;
mod variants;
mod vit;

pub use crate::folder::PREPROCESSOR_FILE;
pub use crate::model::{ChannelOrder, Interpolation, Middle, Preprocessing, Resize};
pub(crate) use config::{TIMM_MODEL_TYPE, crop_share_of, parse};
pub(crate) use hugging_face::MODEL_TYPE;
pub use preprocessing::SIDE_MAX;
pub(crate) use preprocessor::read_preprocessor;
pub(crate) use variants::fit;
pub(crate) use vit::{MODEL_TYPES as TRANSFORMERS, is_vit};
