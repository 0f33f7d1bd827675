//! A mosaic as HTML that can be zoomed and scrolled without a script: radio buttons set the size of the cells, and the cell under
//! the pointer is enlarged.

use super::artifact::Mosaic;
use super::escape::escape;
use super::figure::mosaic_square as square;
use super::figure::{group_entries, group_hue};
use crate::data::{Image, Interpolation};
use crate::error::Result;
use base64::Engine as _;

/// The side of an embedded picture, px.
const PICTURE_SIDE: usize = 96;
/// The quality of the JPEGs, 1 to 100.
const JPEG_QUALITY: u8 = 82;
/// The selectable sizes of cells, px; the first one that fits the page is selected.
const SIZES: [usize; 5] = [12, 24, 40, 72, 120];

const STYLE: &str = ".mosaic{position:relative}.mosaic>input{margin:0 3px 0 10px}.mosaic>label{font-size:12px}\
.mosaic>.pane{overflow:auto;max-height:85vh;margin-top:6px;border:1px solid #dedfe3;resize:both}\
.mosaic .cells{display:grid;width:max-content}\
.mosaic .cells>i{display:block;position:relative;box-sizing:border-box;width:var(--s);height:var(--s);border:calc(var(--s)/24) solid;background:#fff}\
.mosaic .cells img{width:100%;height:100%;display:block;transition:transform .12s}\
.mosaic .cells>i:hover{z-index:2}.mosaic .cells>i:hover img{transform:scale(2.2);outline:1px solid #222}\
.mosaic .key span{display:inline-block;margin:0 12px 4px 0;font-size:12px}.mosaic .key b{display:inline-block;width:10px;height:10px;margin-right:5px}";

/// The mosaic with its legend and the choice of sizes.
///
/// # Errors
/// Where a picture cannot be encoded.
pub fn mosaic(mosaic: &Mosaic) -> Result<String> {
    let columns = mosaic.columns.max(1);
    let id = &blake3::hash(format!("{} {}", mosaic.title, mosaic.captions.join("\n")).as_bytes()).to_hex()[..8];
    let chosen = SIZES.iter().rposition(|s| s * columns <= 1000).unwrap_or(0);
    let mut out = format!("<div class=\"mosaic\"><style>{STYLE}");
    for (i, size) in SIZES.iter().enumerate() {
        out += &format!("#z{id}{i}:checked~.pane{{--s:{size}px}}");
    }
    out += "</style>\n<div class=\"key\">";
    for (hue, name) in group_entries(&mosaic.names) {
        out += &format!("<span><b style=\"background:{}\"></b>{}</span>", colour(hue), escape(&name));
    }
    out += "</div>\n";
    for (i, size) in SIZES.iter().enumerate() {
        let checked = if i == chosen { " checked" } else { "" };
        out += &format!(
            "<input type=\"radio\" name=\"z{id}\" id=\"z{id}{i}\"{checked}><label for=\"z{id}{i}\">{size} px</label>"
        );
    }
    out += &format!(
        "\n<div class=\"pane\"><div class=\"cells\" style=\"grid-template-columns:repeat({columns},var(--s))\">\n"
    );
    for (i, image) in mosaic.images.iter().enumerate() {
        let hue = group_hue(mosaic.groups.get(i).copied().unwrap_or(usize::MAX), mosaic.names.len());
        let caption = mosaic.captions.get(i).map_or("", String::as_str);
        out += &format!(
            "<i style=\"border-color:{}\" title=\"{}\"><img alt=\"\" src=\"data:image/jpeg;base64,{}\"></i>\n",
            colour(hue),
            escape(caption),
            base64::engine::general_purpose::STANDARD.encode(thumbnail(image)?.encode_jpeg(JPEG_QUALITY)?)
        );
    }
    Ok(out + "</div></div></div>\n")
}

fn thumbnail(image: &Image) -> Result<Image> {
    let square = square(image)?;
    if square.width() <= PICTURE_SIDE {
        Ok(square)
    } else {
        square.resize(PICTURE_SIDE, PICTURE_SIDE, Interpolation::Bicubic)
    }
}

fn colour([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_zooms_without_a_script_and_escapes_what_it_is_told() {
        let image = Image::filled(200, 100, [9, 9, 9]).unwrap();
        let page = mosaic(&Mosaic {
            title: "m".into(),
            images: vec![image; 3],
            captions: vec!["<b>".into(), "\"x".into(), "c".into()],
            groups: vec![0, 1, 9],
            names: vec!["<i>".into(), "b".into()],
            columns: 2,
        })
        .unwrap();
        assert_eq!(page.matches("<img").count(), 3);
        assert_eq!(page.matches("type=\"radio\"").count(), SIZES.len());
        assert_eq!(page.matches(" checked").count(), 1);
        for bad in ["<script", "<b>\"", "http", "title=\"\"x", "</b><i>"] {
            assert!(!page.contains(bad), "{bad}");
        }
    }
}
