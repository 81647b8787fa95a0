//! Kubernetes quantities ("500m", "128Mi", "1e3"): parse, print, compare, add.
//!
//! Source of the grammar: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// How the number was written; printing keeps the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `k`, `M`, `m`, …
    DecimalSi,
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// An exact amount in nano units (10⁻⁹), which is the finest that Kubernetes keeps.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// The text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct ParseQuantityError;

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    pub const ZERO: Quantity = Quantity { nano: 0, format: Format::DecimalSi };

    pub fn from_units(units: i64) -> Quantity {
        Quantity { nano: i128::from(units) * NANO, format: Format::DecimalSi }
    }

    pub fn from_millis(millis: i64) -> Quantity {
        Quantity { nano: i128::from(millis) * (NANO / 1000), format: Format::DecimalSi }
    }

    pub fn from_bytes(bytes: i64) -> Quantity {
        Quantity { nano: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// Whole units, rounded up, as Kubernetes' `Value()`.
    pub fn units(&self) -> i64 {
        saturate(ceil_div(self.nano, NANO))
    }

    /// Thousandths, rounded up, as Kubernetes' `MilliValue()`.
    pub fn millis(&self) -> i64 {
        saturate(ceil_div(self.nano, NANO / 1000))
    }

    pub fn is_negative(&self) -> bool {
        self.nano < 0
    }

    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    pub fn plus(self, other: Quantity) -> Quantity {
        Quantity { nano: self.nano.saturating_add(other.nano), format: if self.nano == 0 { other.format } else { self.format } }
    }

    pub fn minus(self, other: Quantity) -> Quantity {
        Quantity { nano: self.nano.saturating_sub(other.nano), format: self.format }
    }
}

fn ceil_div(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

fn saturate(n: i128) -> i64 {
    n.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Quantity, ParseQuantityError> {
        let end = text
            .char_indices()
            .find(|(i, c)| !(c.is_ascii_digit() || *c == '.' || *i == 0 && (*c == '+' || *c == '-')))
            .map_or(text.len(), |(i, _)| i);
        let (number, suffix) = text.split_at(end);
        let (mantissa, decimals) = parse_decimal(number)?;
        let (scale, format) = parse_suffix(suffix)?;
        let nano = match scale {
            Scale::Ten(exponent) => times_ten(mantissa, exponent - decimals + 9)?,
            Scale::Two(shift) => times_ten(mantissa.checked_mul(1i128 << shift).ok_or(ParseQuantityError)?, 9 - decimals)?,
        };
        Ok(Quantity { nano, format })
    }
}

enum Scale {
    Ten(i32),
    Two(u32),
}

/// Longest run of digits that is read; more cannot be meant.
const DIGITS_MAX: usize = 30;

fn parse_decimal(number: &str) -> Result<(i128, i32), ParseQuantityError> {
    let (negative, digits) = match number.as_bytes().first() {
        Some(b'-') => (true, &number[1..]),
        Some(b'+') => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > DIGITS_MAX || fraction.contains('.') {
        return Err(ParseQuantityError);
    }
    let all = format!("{whole}{fraction}");
    let value: i128 = all.parse().map_err(|_| ParseQuantityError)?;
    Ok((if negative { -value } else { value }, fraction.len() as i32))
}

fn parse_suffix(suffix: &str) -> Result<(Scale, Format), ParseQuantityError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((Scale::Ten(*exponent), Format::DecimalSi));
    }
    if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((Scale::Two(*shift), Format::BinarySi));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseQuantityError)?;
    let exponent: i32 = exponent.parse().map_err(|_| ParseQuantityError)?;
    if !(-18..=18).contains(&exponent) {
        return Err(ParseQuantityError);
    }
    Ok((Scale::Ten(exponent), Format::DecimalExponent))
}

fn times_ten(value: i128, exponent: i32) -> Result<i128, ParseQuantityError> {
    let power = 10i128.checked_pow(exponent.unsigned_abs()).ok_or(ParseQuantityError)?;
    if exponent >= 0 { value.checked_mul(power).ok_or(ParseQuantityError) } else { Ok(ceil_div(value, power)) }
}

impl fmt::Display for Quantity {
    /// Canonical form: the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi && self.nano % NANO == 0 && (self.nano / NANO).abs() >= 1024 {
            let units = self.nano / NANO;
            let (suffix, shift) = BINARY.iter().rev().find(|(_, shift)| units % (1i128 << shift) == 0).copied().unwrap_or(("", 0));
            return write!(f, "{}{suffix}", units >> shift);
        }
        let (suffix, exponent) =
            DECIMAL.iter().rev().find(|(_, e)| self.nano % 10i128.pow((e + 9) as u32) == 0).copied().unwrap_or(("n", -9));
        let number = self.nano / 10i128.pow((exponent + 9) as u32);
        match (self.format, exponent) {
            (Format::DecimalExponent, 0) | (Format::DecimalSi | Format::BinarySi, _) => write!(f, "{number}{suffix}"),
            (Format::DecimalExponent, e) => write!(f, "{number}e{e}"),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nano == other.nano
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_canonically() {
        for (given, printed) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1500Mi", "1500Mi"),
            ("1e3", "1e3"),
            ("100k", "100k"),
            ("0", "0"),
            ("1.5Gi", "1536Mi"),
            ("-1", "-1"),
            ("12e6", "12e6"),
            ("2000k", "2M"),
            ("512", "512"),
        ] {
            assert_eq!(given.parse::<Quantity>().unwrap().to_string(), printed, "{given}");
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in ["", "1.2.3", "Mi", "1 Gi", "one", "1e99", "0x10", "--1", "1KiB", "é"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_again_gives_the_same_amount(n in any::<i64>(), i in 0usize..9) {
            let text = format!("{}{}", n / 1_000_000, DECIMAL[i].0);
            let q: Quantity = text.parse().unwrap();
            prop_assert_eq!(q.to_string().parse::<Quantity>().unwrap(), q);
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
