//! Mutants of a file: its parts changed as its format has them, put together again with right lengths and checksums, and
//! now and then bytes on top.

use super::corpus::{Form, Seed};
use convscope_engine::random::Stream;
use serde_json::Value;
use std::io::{Cursor, Read, Write};

/// Numbers at which readers stumble.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// Bytes that mean something in pickles: marks, copies, memos, empty lists.
const OPCODES: &[u8] = b"(2012NKKMJX.}]\x94\x8a\x8bh\x00q\x00tRQbuse\x85\x86\x87c";

/// The largest mutant.
const LARGEST: usize = 900_000;

fn below(rng: &mut Stream, n: usize) -> usize {
    rng.next_below(n.max(1) as u64) as usize
}

fn chance(rng: &mut Stream, percent: u64) -> bool {
    rng.next_below(100) < percent
}

/// A mutant of a file.
pub fn mutant(seed: &Seed, rng: &mut Stream) -> Vec<u8> {
    let mut bytes = seed.bytes.clone();
    if chance(rng, 70) {
        for _ in 0..1 + below(rng, 3) {
            bytes = structured(&bytes, seed.form, rng);
        }
    }
    if chance(rng, 40) {
        damage(&mut bytes, rng);
    }
    bytes.truncate(LARGEST);
    bytes
}

fn structured(bytes: &[u8], form: Form, rng: &mut Stream) -> Vec<u8> {
    let made = match form {
        Form::Bytes => None,
        Form::Protobuf => message(bytes, rng, 0),
        Form::Zip => zip(bytes, rng),
        Form::Json => json(bytes, rng),
        Form::Text => Some(text(bytes, rng)),
        Form::Png => png(bytes, rng),
        Form::Gzip => gzip(bytes, rng),
        Form::Safetensors => safetensors(bytes, rng),
        Form::Parquet => parquet(bytes, rng),
        Form::Tar => tar(bytes, rng),
    };
    made.unwrap_or_else(|| {
        let mut bytes = bytes.to_vec();
        damage(&mut bytes, rng);
        bytes
    })
}

/// Bytes changed without a look at what they mean.
fn damage(bytes: &mut Vec<u8>, rng: &mut Stream) {
    for _ in 0..1 + below(rng, 4) {
        let at = below(rng, bytes.len());
        match below(rng, 8) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << below(rng, 8),
            2 if at < bytes.len() => bytes[at] = rng.next_below(256) as u8,
            3 => {
                let to = (at + 1 + below(rng, 64)).min(bytes.len());
                bytes.drain(at..to);
            }
            4 => {
                let part: Vec<u8> = bytes[at..(at + 1 + below(rng, 64)).min(bytes.len())].to_vec();
                let times = [1, 2, 50, 2000][below(rng, 4)];
                bytes.splice(at..at, part.repeat(times));
            }
            5 => {
                let block: Vec<u8> = (0..1 + below(rng, 16)).map(|_| OPCODES[below(rng, OPCODES.len())]).collect();
                bytes.splice(at..at, block);
            }
            _ => {
                let (number, width) = (NUMBERS[below(rng, NUMBERS.len())], [2, 4, 8][below(rng, 3)]);
                let raw = if chance(rng, 50) { number.to_le_bytes() } else { number.to_be_bytes() };
                let raw = if raw[0] == number as u8 { &raw[..width] } else { &raw[8 - width..] };
                for (to, from) in bytes.iter_mut().skip(at).zip(raw) {
                    *to = *from;
                }
            }
        }
        bytes.truncate(LARGEST);
    }
}

/// Takes out, doubles, swaps or repeats one of some parts; says whether one is to be changed within instead.
fn shuffled<T: Clone>(parts: &mut Vec<T>, rng: &mut Stream) -> Option<usize> {
    let at = below(rng, parts.len());
    match below(rng, 10) {
        0 if !parts.is_empty() => drop(parts.remove(at)),
        1 if !parts.is_empty() => parts.insert(at, parts[at].clone()),
        2 if parts.len() > 1 => {
            let other = below(rng, parts.len());
            parts.swap(at, other);
        }
        3 if !parts.is_empty() => {
            let copies = vec![parts[at].clone(); [8, 300][below(rng, 2)]];
            parts.splice(at..at, copies);
        }
        _ => return (!parts.is_empty()).then_some(at),
    }
    None
}

/// A field of a protobuf message.
#[derive(Clone)]
enum Field {
    Varint(u64, u64),
    Fixed(u64, Vec<u8>),
    Block(u64, Vec<u8>),
}

fn message(bytes: &[u8], rng: &mut Stream, depth: usize) -> Option<Vec<u8>> {
    let mut fields = fields(bytes)?;
    if let Some(at) = shuffled(&mut fields, rng) {
        match &mut fields[at] {
            Field::Varint(_, value) => *value = NUMBERS[below(rng, NUMBERS.len())],
            Field::Fixed(_, raw) => damage(raw, rng),
            Field::Block(_, inner) if chance(rng, 30) && inner.iter().all(u8::is_ascii_graphic) => {
                *inner = word(rng).into_bytes();
            }
            Field::Block(_, inner) => {
                let deeper = depth < 12 && chance(rng, 90);
                match message(inner, rng, depth + 1).filter(|_| deeper) {
                    Some(changed) => *inner = changed,
                    None => damage(inner, rng),
                }
            }
        }
    }
    let mut out = Vec::new();
    for field in fields {
        match field {
            Field::Varint(tag, value) => {
                varint(&mut out, tag);
                varint(&mut out, value);
            }
            Field::Fixed(tag, raw) => {
                varint(&mut out, tag);
                out.extend(raw);
            }
            Field::Block(tag, inner) => {
                varint(&mut out, tag);
                varint(&mut out, inner.len() as u64);
                out.extend(inner);
            }
        }
        if out.len() > LARGEST {
            break;
        }
    }
    Some(out)
}

/// A name or a number as a file may hold it in letters.
fn word(rng: &mut Stream) -> String {
    let names = ["", ".", "..", "/", "../w.bin", "/etc/hostname", "w.bin", "v.bin", "./w.bin", "a/../w.bin", "x", "-1"];
    match below(rng, 2) {
        0 => names[below(rng, names.len())].to_string(),
        _ => NUMBERS[below(rng, NUMBERS.len())].to_string(),
    }
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn fields(bytes: &[u8]) -> Option<Vec<Field>> {
    let (mut at, mut fields) = (0, Vec::new());
    let read = |at: &mut usize| -> Option<u64> {
        let mut value = 0u64;
        for place in 0..10 {
            let byte = *bytes.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    while at < bytes.len() {
        let tag = read(&mut at)?;
        let width = match tag & 7 {
            0 => {
                fields.push(Field::Varint(tag, read(&mut at)?));
                continue;
            }
            1 => 8,
            5 => 4,
            2 => usize::try_from(read(&mut at)?).ok()?,
            _ => return None,
        };
        let block = bytes.get(at..at.checked_add(width)?)?.to_vec();
        at += width;
        fields.push(if tag & 7 == 2 { Field::Block(tag, block) } else { Field::Fixed(tag, block) });
    }
    Some(fields)
}

/// A zip archive whose entries are changed, renamed, doubled, packed.
fn zip(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).ok()?;
        let mut content = Vec::new();
        entry.by_ref().take(LARGEST as u64).read_to_end(&mut content).ok()?;
        entries.push((entry.name().ok()?.into_owned(), content));
    }
    if let Some(at) = shuffled(&mut entries, rng) {
        match below(rng, 6) {
            0 => entries[at].0 = ["../up", "/abs", "a//b", "", "n/data/0", "n/data.pkl"][below(rng, 6)].to_string(),
            _ => damage(&mut entries[at].1, rng),
        }
    }
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let packed = chance(rng, 30);
    let method = if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, content) in entries {
        // A writer refuses a name that is there twice.
        if out.start_file(name, options).is_ok() {
            out.write_all(&content).ok()?;
        }
    }
    Some(out.finish().ok()?.into_inner())
}

fn json(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    tree(&mut value, rng, 0);
    let mut text = serde_json::to_string(&value).ok()?;
    if chance(rng, 5) {
        let depth = [100, 5000][below(rng, 2)];
        text = text.replacen('1', &format!("{}1{}", "[".repeat(depth), "]".repeat(depth)), 1);
    }
    Some(text.into_bytes())
}

fn tree(value: &mut Value, rng: &mut Stream, depth: usize) {
    let leaf = match value {
        Value::Array(items) => {
            if let Some(at) = shuffled(items, rng).filter(|_| depth < 12) {
                tree(&mut items[at], rng, depth + 1);
            }
            false
        }
        Value::Object(entries) => {
            let key = entries.keys().nth(below(rng, entries.len())).cloned();
            match (key, below(rng, 10)) {
                (Some(key), 0) => drop(entries.remove(&key)),
                (Some(key), 1) => {
                    let moved = entries.remove(&key).unwrap_or(Value::Null);
                    entries.insert(format!("{key}{key}"), moved);
                }
                (Some(key), _) => {
                    if let Some(inner) = entries.get_mut(&key) {
                        tree(inner, rng, depth + 1);
                    }
                }
                (None, _) => {}
            }
            false
        }
        _ => true,
    };
    if leaf || chance(rng, 3) {
        let number = NUMBERS[below(rng, NUMBERS.len())];
        *value = match below(rng, 9) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::from(number),
            3 => Value::from(-(number as i64 >> 1)),
            4 => Value::from(1.5e300),
            5 => Value::from(number.to_string()),
            6 => Value::from("x".repeat(1 << below(rng, 16))),
            7 => Value::from(vec![0; 1 << below(rng, 12)]),
            _ => serde_json::json!({}),
        };
    }
}

fn text(bytes: &[u8], rng: &mut Stream) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let split = if text.contains("><") { "><" } else { "\n" };
    let mut lines: Vec<String> = text.split(split).map(str::to_string).collect();
    if let Some(at) = shuffled(&mut lines, rng) {
        let number = NUMBERS[below(rng, NUMBERS.len())];
        let line = &mut lines[at];
        match below(rng, 6) {
            0 => *line = line.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect(),
            1 => {
                let first: String = line.chars().filter(char::is_ascii_digit).collect();
                let signed = if chance(rng, 50) { format!("-{number}.5") } else { number.to_string() };
                *line = line.replacen(&first, &signed, 1);
            }
            2 => line.push_str(&" a=\"1\"".repeat(1 << below(rng, 13))),
            3 => *line = line.repeat(1 << below(rng, 8)),
            4 => *line = line.replace([',', '<'], ""),
            _ => line.insert_str(
                0,
                ["\u{feff}", "\"", "<!--", "<![CDATA[", "<!DOCTYPE a [<!ENTITY b \"c\">]>"][below(rng, 5)],
            ),
        }
    }
    lines.join(split).into_bytes()
}

/// A PNG whose chunks are changed, with right checksums.
fn png(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let mut chunks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    while let [a, b, c, d, kind @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let data = kind.get(4..4usize.checked_add(length)?)?;
        chunks.push((kind[..4].to_vec(), data.to_vec()));
        rest = kind.get(4 + length + 4..)?;
    }
    if let Some(at) = shuffled(&mut chunks, rng) {
        damage(&mut chunks[at].1, rng);
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in chunks {
        out.extend((data.len() as u32).to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&kind);
        crc.update(&data);
        out.extend(kind);
        out.extend(data);
        out.extend(crc.sum().to_be_bytes());
        if out.len() > LARGEST {
            break;
        }
    }
    Some(out)
}

fn gzip(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let mut held = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(LARGEST as u64).read_to_end(&mut held).ok()?;
    damage(&mut held, rng);
    if chance(rng, 10) {
        held.resize(held.len() + (1 << (10 + below(rng, 17))), 0);
    }
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(&held).ok()?;
    out.finish().ok()
}

/// A safetensors file whose header is changed, with its right length.
fn safetensors(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?) as usize;
    let header = json(bytes.get(8..8usize.checked_add(length)?)?, rng)?;
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend_from_slice(bytes.get(8 + length..)?);
    Some(out)
}

/// A Parquet file whose footer is changed, with its right length: a number of its thrift made another one, or damage.
fn parquet(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let (body, end) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
    let length = u32::from_le_bytes(*end.first_chunk()?) as usize;
    let (pages, footer) = body.split_at_checked(body.len().checked_sub(length)?)?;
    let (mut pages, mut footer) = (pages.to_vec(), footer.to_vec());
    match below(rng, 4) {
        0 => damage(&mut pages, rng),
        1 => damage(&mut footer, rng),
        _ => {
            let at = below(rng, footer.len());
            let behind = footer[at..].iter().position(|b| *b < 0x80).map_or(footer.len(), |i| at + i + 1);
            let mut number = Vec::new();
            varint(&mut number, NUMBERS[below(rng, NUMBERS.len())]);
            footer.splice(at..behind, number);
        }
    }
    let length = (footer.len() as u32).to_le_bytes();
    Some([&pages[..], &footer[..], &length[..], b"PAR1"].concat())
}

/// A tar file of which a header is changed, with its right checksum.
fn tar(bytes: &[u8], rng: &mut Stream) -> Option<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = bytes.chunks(512).map(<[u8]>::to_vec).collect();
    let headers: Vec<usize> = (0..blocks.len()).filter(|i| blocks[*i].get(257..262) == Some(&b"ustar"[..])).collect();
    let at = *headers.get(below(rng, headers.len()))?;
    let header = &mut blocks[at];
    match below(rng, 5) {
        0 => header[156] = b"0125LKxgSDV7\0"[below(rng, 13)],
        1 => header[124..136].copy_from_slice(format!("{:011o}\0", NUMBERS[below(rng, 12)]).as_bytes().get(..12)?),
        2 => {
            header[124] = 0x80;
            header[128..136].copy_from_slice(&NUMBERS[below(rng, NUMBERS.len())].to_be_bytes());
        }
        3 => {
            let name = word(rng);
            header[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
        }
        _ => {
            let place = below(rng, 512);
            header[place] = rng.next_below(256) as u8;
        }
    }
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|b| u64::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    if chance(rng, 20) {
        let copies = blocks[at..].to_vec();
        blocks.extend(copies);
    }
    Some(blocks.concat())
}
