// `loop`: what a for loop knows about itself.
//
// It reads its sequence one ahead only when asked (`loop.last`, `loop.nextitem`), and reads all of it when asked for a
// length that the sequence does not know, as Jinja does; a filter in the loop therefore sees the effects of earlier rounds.

import BerthCore

extension Jinja {
    final class LoopContext: Object {
        private(set) var iterator: LazyIterator
        /// A loop lives in a variable of its rendering, never longer.
        private unowned let rendering: Rendering
        private var known: Int?
        private var peeked: Value??
        private var current: Value?
        private var previous: Value?
        private var lastChanged: Value?
        private(set) var index0 = -1
        let depth0: Int
        /// What a call of a recursive loop renders, and where its variables are looked up.
        let recursion: (loop: ForLoop, scope: Scope)?
        private let extent: Int

        init(_ iterator: LazyIterator, length: Int?, depth0: Int, recursion: (loop: ForLoop, scope: Scope)?, _ rendering: Rendering) throws(TemplateError) {
            guard iterator.depth < Limits.templateValueDepth else { throw .limit("iterators nested deeper than \(Limits.templateValueDepth) levels") }
            self.iterator = iterator
            known = length
            self.depth0 = depth0
            self.recursion = recursion
            self.rendering = rendering
            extent = iterator.depth + 1
        }

        override var typeName: String { "LoopContext" }
        override var depth: Int { extent }
        override var isCallable: Bool { true }
        override var representation: String { "<LoopContext \(index0 + 1)/\((try? length()) ?? 0)>" }

        /// The next item; nil when the loop is over.
        func advance() throws(TemplateError) -> Value? {
            let item: Value?
            if let ahead = peeked {
                item = ahead
                peeked = nil
            } else {
                item = try iterator.next(rendering)
            }
            guard let item else { return nil }
            index0 += 1
            previous = current
            current = item
            return item
        }

        private func peek() throws(TemplateError) -> Value? {
            if let ahead = peeked { return ahead }
            let ahead = try iterator.next(rendering)
            peeked = .some(ahead)
            return ahead
        }

        func length() throws(TemplateError) -> Int {
            if let known { return known }
            var rest: [Value] = []
            while let value = try iterator.next(rendering) {
                try rendering.charge()
                rest.append(value)
            }
            var count = rest.count + index0 + 1
            if case .some(.some) = peeked { count += 1 }
            iterator = try ArrayIterator(rest)
            known = count
            return count
        }

        override func attribute(_ name: Attribute) throws(TemplateError) -> Value? {
            switch name.name {
            case "index": return .int(index0 + 1)
            case "index0": return .int(index0)
            case "revindex": return .int(try length() - index0)
            case "revindex0": return .int(try length() - index0 - 1)
            case "first": return .bool(index0 == 0)
            case "last": return .bool(try peek() == nil)
            case "length": return .int(try length())
            case "depth": return .int(depth0 + 1)
            case "depth0": return .int(depth0)
            case "previtem": return index0 == 0 ? .undefined("there is no previous item") : previous
            case "nextitem": return try peek() ?? .undefined("there is no next item")
            case "cycle": return .object(try BoundMethod(.object(self), "cycle", Self.cycle))
            case "changed": return .object(try BoundMethod(.object(self), "changed", Self.changed))
            default: return nil
            }
        }

        private static let cycle: Method = { (_, receiver, arguments) throws(TemplateError) in
            guard case .object(let object) = receiver, let loop = object as? LoopContext else { return .none }
            guard !arguments.positional.isEmpty, arguments.keywords.isEmpty else { throw .evaluation("no items for cycling given") }
            return arguments.positional[loop.index0 % arguments.positional.count]
        }

        private static let changed: Method = { (rendering, receiver, arguments) throws(TemplateError) in
            guard case .object(let object) = receiver, let loop = object as? LoopContext else { return .none }
            let value = Value.tuple(try Elements(arguments.positional))
            if let last = loop.lastChanged, try rendering.equal(last, value) { return .bool(false) }
            loop.lastChanged = value
            return .bool(true)
        }

        override func call(_ arguments: Arguments, _ rendering: Rendering) throws(TemplateError) -> Value {
            let sequence = try arguments.list("loop", 1, 1)[0]
            guard let recursion else { throw .evaluation("the loop must have the 'recursive' marker to be called") }
            return .string(try rendering.rerun(recursion.loop, over: sequence, in: recursion.scope, depth0: depth0 + 1))
        }
    }
}
