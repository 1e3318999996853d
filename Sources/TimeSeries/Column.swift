public import Fleet

/// How the 64 bits of a stored number are read.
public enum NumberKind: UInt8, Sendable {
    /// Two's complement.
    case signed = 0
    /// Unsigned: all 64 bits count.
    case unsigned = 1
    /// An IEEE 754 double.
    case real = 2
}

/// How a native number becomes base units: `native × multiplier ÷ 10^decimals`.
///
/// Nanoseconds to seconds is (1, 9), KiB to bytes (1024, 0). Native numbers are stored, scaled ones are shown.
public struct Scale: Hashable, Sendable {
    /// What the native number is multiplied with.
    public let multiplier: UInt32
    /// How many places the decimal point moves to the left, 0…18.
    public let decimals: UInt8

    /// A scale.
    public init(multiplier: UInt32 = 1, decimals: UInt8 = 0) {
        precondition(multiplier > 0 && decimals <= 18, "a scale outside its bounds")
        self.multiplier = multiplier
        self.decimals = decimals
    }

    /// Shown as stored.
    public static let one = Scale()
    /// Nanoseconds shown as seconds.
    public static let nanoseconds = Scale(decimals: 9)
    /// Microseconds shown as seconds.
    public static let microseconds = Scale(decimals: 6)
    /// Milliseconds shown as seconds.
    public static let milliseconds = Scale(decimals: 3)
    /// KiB shown as bytes.
    public static let kibibytes = Scale(multiplier: 1024)
    /// MiB shown as bytes.
    public static let mebibytes = Scale(multiplier: 1 << 20)
}

/// One series of a source: what it is called and how its numbers are read.
public struct Column: Hashable, Sendable {
    /// The metric's name, such as `libvirt_domain_block_read_bytes_total`.
    public let metric: String
    /// Labels beyond those of the source, such as `device="vda"`.
    public let labels: LabelSet
    /// How the bits are read.
    public let kind: NumberKind
    /// How the native number becomes base units.
    public let scale: Scale

    /// A column.
    public init(metric: String, labels: LabelSet = LabelSet([]), kind: NumberKind = .unsigned, scale: Scale = .one) {
        self.metric = metric
        self.labels = labels
        self.kind = kind
        self.scale = scale
    }
}

/// Several series that are read at the same instants: those of one guest on one host, or of one host itself.
///
/// Immutable. A guest that gains a disk gets a new schema; series keep their identity, which is their full label set.
public final class SourceSchema: Sendable {
    /// The labels that all series of the source carry: `host`, `uuid`, `domain` for a guest, `host` for a host.
    public let labels: LabelSet
    /// The series.
    public let columns: [Column]
    /// The columns that the catalogue knows, in its order, with their labels as text: what an exposition copies.
    public let text: SchemaText

    /// A schema; the columns' full label sets must differ from each other.
    public init(labels: LabelSet, columns: [Column]) {
        self.labels = labels
        self.columns = columns
        self.text = SchemaText(labels: labels, columns: columns)
    }

    /// The full identity of one series.
    public func labelSet(ofColumn index: Int) -> LabelSet {
        LabelSet(labels.labels + columns[index].labels.labels + [Label(LabelSet.metricName, columns[index].metric)])
    }
}

/// One reading of a source: a native number, or nothing, for each column of its schema.
///
/// Nothing means unknown at that instant. Where a column had a number before, the series is stale from here on.
public struct SourceTick: Sendable {
    /// Whose reading this is.
    public let schema: SourceSchema
    /// When it was read.
    public let time: Timestamp
    /// Native bit patterns in the order of the columns; the bits of an absent one mean nothing.
    public let bits: [UInt64]
    /// For each column, whether there is a number; empty where all are present.
    public let presence: [Bool]

    /// A reading; `bits` has one element a column, `presence` the same or none.
    public init(schema: SourceSchema, time: Timestamp, bits: [UInt64], presence: [Bool] = []) {
        precondition(bits.count == schema.columns.count && (presence.isEmpty || presence.count == bits.count), "a reading of another shape")
        self.schema = schema
        self.time = time
        self.bits = bits
        self.presence = presence
    }

    /// Whether the column has a number.
    public func isPresent(_ column: Int) -> Bool { presence.isEmpty || presence[column] }
}

/// Takes readings: the head of the store, a capture, a test.
public protocol SampleSink: Sendable {
    /// Takes the readings of one tick; they become visible together.
    func append(_ ticks: [SourceTick])
}
