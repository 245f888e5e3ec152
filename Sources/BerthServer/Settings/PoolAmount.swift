// How much of something: a size, or a share.

import BerthCore

/// "2G" or "25%".
public enum PoolAmount: Sendable, Equatable, CustomStringConvertible {
    case size(ByteSize)
    /// 0 < per cent <= 100
    case percent(Double)

    public init?(_ text: String) {
        if text.hasSuffix("%") {
            guard let percent = Double(text.dropLast()), percent > 0, percent <= 100 else { return nil }
            self = .percent(percent)
        } else {
            guard let size = ByteSize(text), size.bytes > 0 else { return nil }
            self = .size(size)
        }
    }

    /// Bytes, where per cent are of `whole`.
    public func bytes(of whole: Int) -> Int {
        switch self {
        case .size(let size): size.bytes
        case .percent(let percent): Int(Double(whole) * percent / 100)
        }
    }

    public var description: String {
        switch self {
        case .size(let size): "\(size)"
        case .percent(let percent): "\(percent)%"
        }
    }
}

/// Who leaves when experts are paged.
public enum ExpertPolicyChoice: String, Sendable, CaseIterable {
    /// By what the model's routing says.
    case routing
    /// Least recently used.
    case lru
}

public enum Toggle: String, Sendable, CaseIterable { case on, off }

/// Whether what was computed for a request is kept for the next that begins alike, and of whom.
public enum PrefixCacheChoice: String, Sendable, CaseIterable { case on, off, shared }

/// How paged experts are read.
public enum ExpertReadChoice: String, Sendable, CaseIterable { case auto, direct, buffered }
