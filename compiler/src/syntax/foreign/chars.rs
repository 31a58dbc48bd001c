//! Characters that look like, or stand for, what the language writes in ASCII: one table.

/// What a character is called, and what to write instead; nothing for one that is not seen at all.
pub(super) fn like(c: char) -> Option<(&'static str, &'static str)> {
    // Nearly every character: the table has none of them.
    if matches!(c, ' '..='~' | '\n' | '\r' | '\t') {
        return None;
    }
    LIKE.iter().find(|row| row.0.contains(c)).map(|row| (row.1, row.2))
}

/// Characters, their name, the ASCII text in their place.
const LIKE: &[(&str, &str, &str)] = &[
    ("\u{a0}", "a no-break space", " "),
    ("\u{202f}", "a narrow no-break space", " "),
    ("\u{3000}", "an ideographic space", " "),
    ("\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\u{2006}\u{2007}", "a typographic space", " "),
    ("\u{2008}\u{2009}\u{200a}\u{205f}", "a typographic space", " "),
    ("\u{b}", "a vertical tab", " "),
    ("\u{c}", "a form feed", " "),
    ("\u{85}\u{2028}\u{2029}", "a line separator", " "),
    ("\u{200b}", "a zero-width space", ""),
    ("\u{200c}\u{200d}", "a zero-width joiner", ""),
    ("\u{2060}", "a word joiner", ""),
    ("\u{feff}", "a byte order mark", ""),
    ("\u{ad}", "a soft hyphen", ""),
    ("\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}", "a mark for the direction of text", ""),
    ("\u{2066}\u{2067}\u{2068}\u{2069}", "a mark for the direction of text", ""),
    ("\u{2212}", "a minus sign", "-"),
    ("\u{2010}\u{2011}", "a hyphen", "-"),
    ("\u{2012}\u{2013}", "an en dash", "-"),
    ("\u{2014}\u{2015}", "an em dash", "-"),
    ("\u{ff0d}", "a fullwidth hyphen", "-"),
    ("\u{d7}", "a multiplication sign", "*"),
    ("\u{b7}\u{2219}\u{22c5}", "a middle dot", "*"),
    ("\u{2217}\u{ff0a}", "an asterisk operator", "*"),
    ("\u{2299}", "a circled dot", "*"),
    ("\u{f7}", "a division sign", "/"),
    ("\u{2044}\u{2215}\u{ff0f}", "a division slash", "/"),
    ("\u{ff0b}", "a fullwidth plus sign", "+"),
    ("\u{2264}\u{2a7d}", "a less-than-or-equal sign", "<="),
    ("\u{2265}\u{2a7e}", "a greater-than-or-equal sign", ">="),
    ("\u{2260}", "a not-equal sign", "!="),
    ("\u{2261}", "an identity sign", "=="),
    ("\u{ff1c}", "a fullwidth less-than sign", "<"),
    ("\u{ff1e}", "a fullwidth greater-than sign", ">"),
    ("\u{ff1d}", "a fullwidth equals sign", "="),
    ("\u{2190}", "a leftwards arrow", "<-"),
    ("\u{2192}", "a rightwards arrow", "->"),
    ("\u{2025}\u{2026}", "an ellipsis", ".."),
    ("\u{ff0c}\u{3001}", "a fullwidth comma", ","),
    ("\u{ff1a}", "a fullwidth colon", ":"),
    ("\u{ff1b}", "a fullwidth semicolon", ";"),
    ("\u{ff0e}\u{3002}", "a fullwidth full stop", "."),
    ("\u{ff08}", "a fullwidth parenthesis", "("),
    ("\u{ff09}", "a fullwidth parenthesis", ")"),
    ("\u{ff3b}", "a fullwidth bracket", "["),
    ("\u{ff3d}", "a fullwidth bracket", "]"),
    ("\u{ff5b}", "a fullwidth brace", "{"),
    ("\u{ff5d}", "a fullwidth brace", "}"),
    ("\u{ff5c}\u{2223}", "a vertical bar", "|"),
    ("\u{223c}\u{ff5e}\u{2dc}", "a tilde operator", "~"),
    ("\u{ff20}", "a fullwidth at sign", "@"),
    ("\u{221e}", "an infinity sign", "inf"),
    ("\u{2227}", "a logical and", " and "),
    ("\u{2228}", "a logical or", " or "),
    ("\u{ac}", "a not sign", "not "),
    ("\u{b2}", "a superscript two", "**2"),
    ("\u{b3}", "a superscript three", "**3"),
];

/// The characters that close what a typographic quote opens.
pub(super) fn quote(c: char) -> Option<&'static [char]> {
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{2033}' | '\u{ff02}' => {
            Some(&['\u{201c}', '\u{201d}', '\u{201f}', '\u{2033}', '\u{ff02}', '"'])
        }
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2032}' => Some(&['\u{2018}', '\u{2019}', '\u{2032}', '\'']),
        '\u{ab}' | '\u{bb}' => Some(&['\u{ab}', '\u{bb}']),
        _ => None,
    }
}

/// What a typographic quote is called.
pub(super) fn quote_name(c: char) -> &'static str {
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' => "a curly quote",
        '\u{2018}' | '\u{2019}' | '\u{201a}' => "a curly single quote",
        '\u{ab}' | '\u{bb}' => "an angle quote",
        '\u{ff02}' => "a fullwidth quote",
        _ => "a prime",
    }
}

/// A letter or digit of another alphabet as it is spelled in ASCII names.
pub(super) fn spelled(c: char) -> Option<String> {
    if c.is_ascii() {
        return Some(c.into());
    }
    // Fullwidth forms lie at a fixed distance from the ASCII ones, subscripts in a row.
    let shifted = match c {
        '\u{ff10}'..='\u{ff5a}' => char::from_u32(c as u32 - 0xfee0),
        '\u{2080}'..='\u{2089}' => char::from_u32(c as u32 - 0x2080 + u32::from(b'0')),
        _ => None,
    };
    shifted.map(String::from).or_else(|| LETTERS.iter().find(|row| row.0.contains(c)).map(|row| row.1.to_owned()))
}

/// Letters and their spelling. Greek capitals are small here: a capital begins a dim or a type.
#[rustfmt::skip]
const LETTERS: &[(&str, &str)] = &[
    ("αΑ", "alpha"), ("βΒ", "beta"), ("γΓ", "gamma"), ("δΔ∂", "delta"), ("εΕϵ", "epsilon"), ("ζΖ", "zeta"),
    ("ηΗ", "eta"), ("θΘϑ", "theta"), ("ιΙ", "iota"), ("κΚ", "kappa"), ("λΛ", "lam"), ("μµΜ", "mu"), ("νΝ", "nu"),
    ("ξΞ", "xi"), ("οΟ", "o"), ("πΠϖ", "pi"), ("ρΡϱ", "rho"), ("σςΣ", "sigma"), ("τΤ", "tau"), ("υΥ", "upsilon"),
    ("φΦϕ", "phi"), ("χΧ", "chi"), ("ψΨ", "psi"), ("ωΩ", "omega"), ("а", "a"), ("е", "e"), ("о", "o"), ("р", "p"),
    ("с", "c"), ("х", "x"), ("у", "y"), ("і", "i"), ("ј", "j"), ("ѕ", "s"), ("А", "A"), ("В", "B"), ("Е", "E"),
    ("К", "K"), ("М", "M"), ("Н", "H"), ("О", "O"), ("Р", "P"), ("С", "C"), ("Т", "T"), ("Х", "X"), ("І", "I"),
    ("Ј", "J"), ("áàâäãåā", "a"), ("éèêëē", "e"), ("íìîïī", "i"), ("óòôöõøō", "o"), ("úùûüū", "u"), ("ýÿ", "y"),
    ("ñ", "n"), ("ç", "c"), ("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("ÁÀÂÄÃÅ", "A"), ("ÉÈÊË", "E"), ("ÍÌÎÏ", "I"),
    ("ÓÒÔÖÕØ", "O"), ("ÚÙÛÜ", "U"), ("Ñ", "N"), ("Ç", "C"), ("ℓ", "l"),
];

/// What kind of character it is.
pub(super) fn family(c: char) -> &'static str {
    match c as u32 {
        0x80..=0x24f | 0x1e00..=0x1eff => "an accented letter",
        0x370..=0x3ff | 0x1f00..=0x1fff => "a Greek letter",
        0x400..=0x52f => "a Cyrillic letter",
        0x2080..=0x209c => "a subscript",
        0xff00..=0xffef => "a fullwidth character",
        _ => "no ASCII character",
    }
}
