//! Elementary functions of one number that nets use occasionally: positional codes, periodic activations, rounding, tests.

/// A function of one number without parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elementary {
    /// sin x
    Sin,
    /// cos x
    Cos,
    /// tan x
    Tan,
    /// arcsin x
    Asin,
    /// arccos x
    Acos,
    /// arctan x
    Atan,
    /// sinh x
    Sinh,
    /// cosh x
    Cosh,
    /// arsinh x
    Asinh,
    /// arcosh x
    Acosh,
    /// artanh x
    Atanh,
    /// The largest integer that is not above x.
    Floor,
    /// The smallest integer that is not below x.
    Ceil,
    /// The nearest integer; halves go to the even one.
    Round,
    /// The nearest integer towards zero.
    Truncate,
    /// The integer towards zero modulo 256, from 0 to 255: what is left of it in eight bits.
    LowByte,
    /// The same from -128 to 127.
    SignedByte,
    /// -1, 0 or 1
    Sign,
    /// 1 where x is not a number, else 0
    IsNan,
    /// 1 where x is infinite, else 0
    IsInfinite,
    /// x, from which no gradient returns: the scale that a quantised value has by its range, which counts as a constant.
    Detach,
}

impl Elementary {
    /// All of them but `Detach`, whose derivative is not its slope.
    pub const ALL: [Elementary; 20] = [
        Elementary::Sin,
        Elementary::Cos,
        Elementary::Tan,
        Elementary::Asin,
        Elementary::Acos,
        Elementary::Atan,
        Elementary::Sinh,
        Elementary::Cosh,
        Elementary::Asinh,
        Elementary::Acosh,
        Elementary::Atanh,
        Elementary::Floor,
        Elementary::Ceil,
        Elementary::Round,
        Elementary::Truncate,
        Elementary::LowByte,
        Elementary::SignedByte,
        Elementary::Sign,
        Elementary::IsNan,
        Elementary::IsInfinite,
    ];

    /// The function's usual name, lower case.
    pub fn kind(self) -> &'static str {
        match self {
            Elementary::Sin => "sin",
            Elementary::Cos => "cos",
            Elementary::Tan => "tan",
            Elementary::Asin => "asin",
            Elementary::Acos => "acos",
            Elementary::Atan => "atan",
            Elementary::Sinh => "sinh",
            Elementary::Cosh => "cosh",
            Elementary::Asinh => "asinh",
            Elementary::Acosh => "acosh",
            Elementary::Atanh => "atanh",
            Elementary::Floor => "floor",
            Elementary::Ceil => "ceil",
            Elementary::Round => "round",
            Elementary::Truncate => "truncate",
            Elementary::LowByte => "low_byte",
            Elementary::SignedByte => "signed_byte",
            Elementary::Sign => "sign",
            Elementary::IsNan => "is_nan",
            Elementary::IsInfinite => "is_infinite",
            Elementary::Detach => "detach",
        }
    }

    /// Whether its derivative counts as zero everywhere.
    pub fn has_no_derivative(self) -> bool {
        matches!(
            self,
            Elementary::Floor
                | Elementary::Ceil
                | Elementary::Round
                | Elementary::Truncate
                | Elementary::LowByte
                | Elementary::SignedByte
                | Elementary::Sign
                | Elementary::IsNan
                | Elementary::IsInfinite
                | Elementary::Detach
        )
    }
}
