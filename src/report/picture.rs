//! Pictures: what `kuva` has laid out, as SVG with true subscripts, and the same as PNG.
//!
//! The PNG is drawn from the SVG by `resvg`, so that both look alike; its letters are DejaVu Sans, which is part of this
//! crate, so that they do not depend on the fonts of the machine.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::read::GzDecoder;
use kuva::backend::svg::SvgBackend;
use kuva::render::render::Scene;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::data::write_atomically;
use crate::error::{Error, Result};

/// Pixels of the PNG per logical unit of the SVG.
const PIXELS: f32 = 2.0;
/// What a viewer of the SVG may take: this one, or others of its kind.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif";
const FAMILY: &str = "DejaVu Sans";
/// DejaVu Sans 2.37, compressed; its licence stands beside it.
const FONT: &[u8] = include_bytes!("picture/DejaVuSans.ttf.gz");

/// Writes `name.svg` and `name.png` into an existing directory, each whole or not at all; returns their paths.
pub(super) fn write(scene: &Scene, name: &str, directory: &Path) -> Result<[PathBuf; 2]> {
    let refused = |reason: String| Error::Drawing { figure: name.into(), reason };
    let svg = with_subscripts(&SvgBackend::default().render_scene(scene));
    let png = drawn(&svg).map_err(refused)?;
    let paths = ["svg", "png"].map(|extension| directory.join(format!("{name}.{extension}")));
    write_atomically(&paths[0], svg.as_bytes())?;
    write_atomically(&paths[1], &png)?;
    Ok(paths)
}

/// A PNG of an SVG.
fn drawn(svg: &str) -> std::result::Result<Vec<u8>, String> {
    let options = Options { fontdb: fonts()?, font_family: FAMILY.into(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| e.to_string())?;
    let pixels = |length: f32| (length * PIXELS).ceil() as u32;
    let (width, height) = (pixels(tree.size().width()), pixels(tree.size().height()));
    let mut canvas =
        Pixmap::new(width, height).ok_or_else(|| format!("a picture of {width} × {height} pixels does not fit"))?;
    resvg::render(&tree, Transform::from_scale(PIXELS, PIXELS), &mut canvas.as_mut());
    canvas.encode_png().map_err(|e| e.to_string())
}

/// The one font, unpacked on first use.
fn fonts() -> std::result::Result<Arc<fontdb::Database>, String> {
    static FONTS: OnceLock<std::result::Result<Arc<fontdb::Database>, String>> = OnceLock::new();
    let unpack = || {
        let mut font = Vec::new();
        GzDecoder::new(FONT).read_to_end(&mut font).map_err(|e| e.to_string())?;
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(font);
        Ok(Arc::new(fonts))
    };
    FONTS.get_or_init(unpack).clone()
}

/// Sets letters that follow an underscore, as in f_T, lower and smaller, where one letter stands before it and one
/// after it. Tags and attributes have no such thing: `kuva` writes none of its names with underscores.
fn with_subscripts(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    let mut rest = svg;
    while let Some(at) = rest.find('_') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let mut left = before.chars().rev();
        let mut right = after.chars();
        let single = |first: Option<char>, next: Option<char>| {
            first.filter(|c| c.is_alphanumeric() && !next.is_some_and(|n| n.is_alphanumeric() || n == '_'))
        };
        out.push_str(before);
        match (single(left.next(), left.next()), single(right.next(), right.next())) {
            (Some(_), Some(letter)) => {
                out.push_str(&format!(r#"<tspan dy="0.3em" font-size="70%">{letter}</tspan>"#));
                rest = &after[letter.len_utf8()..];
                // What follows goes back to the line: 0.3 of the smaller letters are 0.21 of these.
                let end = rest.find('<').unwrap_or(rest.len());
                if end > 0 {
                    out.push_str(&format!(r#"<tspan dy="-0.21em">{}</tspan>"#, with_subscripts(&rest[..end])));
                    rest = &rest[end..];
                }
            }
            _ => {
                out.push('_');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_letters_after_an_underscore_become_subscripts() {
        let set = |content: &str| with_subscripts(&format!("<text>{content}</text>"));
        let low = r#"<tspan dy="0.3em" font-size="70%">T</tspan>"#;
        let back = |content: &str| format!(r#"<tspan dy="-0.21em">{content}</tspan>"#);
        assert_eq!(set("∇f_T"), format!("<text>∇f{low}</text>"));
        assert_eq!(set("|f_T(z)|"), format!("<text>|f{low}{}</text>", back("(z)|")));
        assert_eq!(set("(f_T, g_T)"), format!("<text>(f{low}{}</text>", back(&format!(", g{low}{}", back(")")))));
        for plain in ["seed_1", "a_bc", "_T", "f_", "f__T", "none"] {
            assert_eq!(set(plain), format!("<text>{plain}</text>"));
        }
    }

    #[test]
    fn letters_are_drawn_and_bad_input_is_an_error() {
        let dark = |content: &str| {
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><text x="9" y="25">{content}</text></svg>"#
            );
            let png = drawn(&with_subscripts(&svg)).unwrap();
            let canvas = Pixmap::decode_png(&png).unwrap();
            assert_eq!((canvas.width(), canvas.height()), (160, 80));
            let rows = canvas.pixels().chunks(160);
            rows.map(|row| row.iter().filter(|pixel| pixel.alpha() > 128).count()).collect::<Vec<_>>()
        };
        let lowest = |rows: &[usize]| rows.iter().rposition(|&count| count > 0);
        let (level, lowered) = (dark("fT"), dark("f_T"));
        assert!(lowest(&lowered) > lowest(&level) && lowest(&level).is_some(), "{level:?} {lowered:?}");
        // Letters that the figures need are in the font, so they are not all the same empty box.
        let symbols: Vec<_> = ["∇", "‖", "⁻", "₀", "κ", "√", "±"].map(dark).into();
        for (index, symbol) in symbols.iter().enumerate() {
            assert!(!symbols[..index].contains(symbol), "{index}");
        }
        assert!(drawn("<svg").is_err());
    }
}
