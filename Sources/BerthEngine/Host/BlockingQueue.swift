// A queue between threads, for threads that may sleep.

/// First in, first out; unbounded in itself: who puts in keeps the bound.
public final class BlockingQueue<Element: Sendable>: @unchecked Sendable {
    // Unchecked: `elements` and `isClosed` are touched under `monitor` only.
    private let monitor = Monitor()
    private var elements: [Element] = []
    private var isClosed = false

    public init() {}

    /// False where the queue is closed, or holds `limit` elements already.
    @discardableResult
    public func put(_ element: Element, limit: Int = .max) -> Bool {
        monitor.locked {
            guard !isClosed, elements.count < limit else { return false }
            elements.append(element)
            monitor.signal()
            return true
        }
    }

    /// All elements; waits for one where there is none and `waits`, for `nanoseconds` at most. Empty where nothing waits, none came, or the queue is closed
    /// and empty.
    public func takeAll(waits: Bool, atMost nanoseconds: UInt64? = nil) -> [Element] {
        let deadline = nanoseconds.map { EngineHost.monotonicNanoseconds() + $0 }
        return monitor.locked {
            while waits, elements.isEmpty, !isClosed {
                guard let deadline else {
                    monitor.wait()
                    continue
                }
                if !monitor.wait(until: deadline) { break }
            }
            defer { elements = [] }
            return elements
        }
    }

    /// Whether an element waits of which something holds.
    public func contains(where holds: (Element) -> Bool) -> Bool { monitor.locked { elements.contains(where: holds) } }

    /// The first element; waits for one. Nil where the queue is closed, whatever it still holds.
    public func takeOne() -> Element? {
        monitor.locked {
            while elements.isEmpty, !isClosed { monitor.wait() }
            return isClosed ? nil : elements.removeFirst()
        }
    }

    /// Nothing goes in any more, and whoever waits wakes up.
    public func close() {
        monitor.locked {
            isClosed = true
            monitor.broadcast()
        }
    }
}
