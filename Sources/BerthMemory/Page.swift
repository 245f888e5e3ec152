// The vocabulary of the pool: what a page is called, what it is used for, and what can go wrong.

/// A page of the pool, by its place in the arena.
public struct PageIndex: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let rawValue: Int32
    init(_ value: Int) { rawValue = Int32(value) }
    public static func < (left: PageIndex, right: PageIndex) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
    var position: Int { Int(rawValue) }
}

/// What a page is used for. Classes share all pages; a `PoolShare` may bound what one of them takes.
public enum PageClass: Int, Sendable, Hashable, CaseIterable {
    /// Keys and values of a block of tokens over all layers.
    case kv
    /// Packed weights of an adapter.
    case adapter
    /// Packed weights of one expert of one layer.
    case expert
    /// The rows of a wave between its modules.
    case activation

    /// What it holds can be read again from a file: under memory pressure the class makes do with less.
    public var isReadAgain: Bool { self == .adapter || self == .expert }
}

/// The states of a page. free → reserved → published → free, or reserved → free where filling failed.
public enum PageState: UInt8, Sendable, Hashable, CaseIterable {
    case free
    /// Leased, and being filled: nobody reads it yet.
    case reserved
    /// Leased, filled, and read by steps.
    case published
}

/// The least and the most pages that one class may hold. Pages up to the floor are kept free for the class when it holds fewer.
public struct PoolShare: Sendable, Equatable {
    public var floorPages: Int
    public var ceilingPages: Int

    public init(floorPages: Int = 0, ceilingPages: Int = .max) {
        self.floorPages = floorPages
        self.ceilingPages = ceilingPages
    }
}

/// How many pages are in which state, for people and metrics.
public struct PoolSnapshot: Sendable, Equatable {
    public struct Class: Sendable, Equatable {
        public var reserved = 0
        public var published = 0
        /// Of these pages, those that nobody uses now and that stay for whoever may want them. The pool does not know it.
        public var cached = 0
        /// Bytes of these pages that hold nothing: the ends of last pages, and what a page is larger than what it is for. The pool does not know it; who leases does.
        public var wasteBytes = 0
        public init() {}
    }

    public var pageBytes = 0
    /// The limit, and of it what files' contents may not take now.
    public var pageCount = 0
    public var withheld = 0
    public var free = 0
    /// Pages that have been used since their memory was last given back: what the arena takes of the machine's memory, at most.
    public var touched = 0
    public var kv = Class()
    public var adapter = Class()
    public var expert = Class()
    public var activation = Class()
    public subscript(use: PageClass) -> Class {
        get {
            switch use {
            case .kv: kv
            case .adapter: adapter
            case .expert: expert
            case .activation: activation
            }
        }
        set {
            switch use {
            case .kv: kv = newValue
            case .adapter: adapter = newValue
            case .expert: expert = newValue
            case .activation: activation = newValue
            }
        }
    }

    public var leases = 0
    /// Kernel mappings held by windows over scattered pages.
    public var mappings = 0

    public init() {}
}

/// Why the pool could not be made or a window could not be mapped.
public struct PoolError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The size or the page size makes no pool.
        case invalidSize
        /// The kernel refused memory or address space.
        case system
        /// `Limits.poolMappings` is reached.
        case mappingsExhausted
    }

    public let code: Code
    public let message: String
    /// `errno` of the call that failed, or 0.
    public let errnoValue: Int32

    init(_ code: Code, _ message: String, errno: Int32 = 0) {
        self.code = code
        self.message = message
        errnoValue = errno
    }

    public var description: String { message }
}
