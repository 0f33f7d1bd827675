//! Pictures in a terminal: the protocols of kitty and iTerm2, and sixel; half blocks where the terminal has none of them.

mod sixel;

use base64::Engine as _;
use clap::ValueEnum;
use convscope_engine::data::Image;
use std::io::IsTerminal;

/// How pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pictures {
    /// As the terminal's environment says.
    Auto,
    /// By kitty's graphics protocol (kitty, Ghostty, Konsole).
    Kitty,
    /// By iTerm2's inline images (iTerm2, WezTerm).
    Iterm2,
    /// As sixels (foot, mlterm, xterm -ti vt340).
    Sixel,
    /// As coloured half blocks.
    Blocks,
}

/// Bytes of base64 in one chunk of kitty's protocol.
const CHUNK_BYTES: usize = 4096;
/// The width of a picture above which it is scaled down, terminal columns.
const MAX_COLUMNS: usize = 100;

impl Pictures {
    /// The protocol, with `auto` replaced by the one that this terminal supports.
    pub fn resolved(self) -> Self {
        if self != Pictures::Auto {
            return self;
        }
        let get = |name: &str| std::env::var(name).unwrap_or_default();
        if !std::io::stdout().is_terminal() {
            return Pictures::Blocks;
        }
        detect(&get)
    }

    /// Whether the protocol shows single pixels.
    pub fn is_exact(self) -> bool {
        matches!(self, Pictures::Kitty | Pictures::Iterm2 | Pictures::Sixel)
    }

    /// The codes that show a PNG in a terminal `width` columns wide; none for half blocks.
    pub fn codes(self, png: &[u8], width: usize) -> Option<String> {
        let columns = width.min(MAX_COLUMNS);
        match self {
            Pictures::Kitty => Some(kitty(png, columns)),
            Pictures::Iterm2 => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(png);
                let size = png.len();
                Some(format!(
                    "\x1b]1337;File=inline=1;size={size};width={columns};preserveAspectRatio=1:{encoded}\x07\n"
                ))
            }
            Pictures::Sixel => Image::decode(png).and_then(|image| sixel::encode(&image)).ok(),
            Pictures::Auto | Pictures::Blocks => None,
        }
    }
}

/// The protocol of a terminal, by its environment variables.
fn detect(get: &dyn Fn(&str) -> String) -> Pictures {
    let (term, program) = (get("TERM"), get("TERM_PROGRAM"));
    let is = |names: &[&str]| names.iter().any(|n| term.contains(n));
    // Multiplexers do not pass the codes on.
    if !get("TMUX").is_empty() || is(&["screen", "tmux"]) {
        return Pictures::Blocks;
    }
    let kitty = !get("KITTY_WINDOW_ID").is_empty() || !get("KONSOLE_VERSION").is_empty();
    if kitty || is(&["kitty", "ghostty"]) || program == "ghostty" {
        return Pictures::Kitty;
    }
    if matches!(program.as_str(), "iTerm.app" | "WezTerm") || get("LC_TERMINAL") == "iTerm2" {
        return Pictures::Iterm2;
    }
    match is(&["foot", "mlterm", "sixel", "vt340", "yaft", "contour"]) {
        true => Pictures::Sixel,
        false => Pictures::Blocks,
    }
}

/// A PNG by kitty's graphics protocol: base64 in chunks, placed over `columns` columns.
fn kitty(png: &[u8], columns: usize) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(png);
    let chunks: Vec<&[u8]> = encoded.as_bytes().chunks(CHUNK_BYTES).collect();
    let mut out = String::new();
    for (i, chunk) in chunks.iter().enumerate() {
        let head = if i == 0 { format!("a=T,f=100,q=2,c={columns},") } else { String::new() };
        let more = u8::from(i + 1 < chunks.len());
        out += &format!("\x1b_G{head}m={more};{}\x1b\\", String::from_utf8_lossy(chunk));
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_known_by_their_environment() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            detect(&|name| pairs.iter().find(|(k, _)| k == name).map_or(String::new(), |(_, v)| v.clone()))
        };
        assert_eq!(of(&[("TERM", "xterm-kitty")]), Pictures::Kitty);
        assert_eq!(of(&[("TERM_PROGRAM", "WezTerm")]), Pictures::Iterm2);
        assert_eq!(of(&[("TERM", "foot")]), Pictures::Sixel);
        assert_eq!(of(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/x")]), Pictures::Blocks);
        assert_eq!(of(&[("TERM", "xterm-256color")]), Pictures::Blocks);
    }

    #[test]
    fn kitty_takes_pictures_in_chunks() {
        let codes = kitty(&[7; 4000], 80);
        assert!(codes.starts_with("\x1b_Ga=T,f=100,q=2,c=80,m=1;"));
        assert_eq!(codes.matches("\x1b_G").count(), 2);
        assert!(codes.contains("\x1b_Gm=0;"));
    }
}
