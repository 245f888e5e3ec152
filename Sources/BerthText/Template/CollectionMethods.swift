// The methods of `dict`, `list`, `tuple` and numbers that do not change anything; the others are forbidden.

extension Jinja {
    enum CollectionMethods {
        static let dictionary: [String: Method] = [
            "get": { (_, value, arguments) throws(TemplateError) in
                guard case .dictionary(let members) = value else { return .none }
                let list = try arguments.list("get", 1, 2)
                if let error = list[0].unhashable { throw error }
                return members.values[list[0]] ?? (list.count > 1 ? list[1] : .none)
            },
            "keys": view(.keys), "values": view(.values), "items": view(.items),
            "copy": copy, "fromkeys": { (rendering, _, arguments) throws(TemplateError) in try Globals.dictionaryFromKeys(rendering, arguments) },
        ]

        static let list: [String: Method] = ["count": count, "index": index, "copy": copy]
        static let tuple: [String: Method] = ["count": count, "index": index]

        static let number: [String: Method] = [
            "is_integer": { (_, value, arguments) throws(TemplateError) in
                _ = try arguments.list("is_integer", 0, 0)
                return .bool(value.number.map { $0.isFinite && $0 == $0.rounded() } ?? false)
            },
            "bit_length": { (_, value, arguments) throws(TemplateError) in
                _ = try arguments.list("bit_length", 0, 0)
                guard let integer = value.integer else { return .undefined("'float object' has no attribute 'bit_length'") }
                return .int(Int.bitWidth - integer.magnitude.leadingZeroBitCount)
            },
        ]

        private static func view(_ kind: DictionaryView.Kind) -> Method {
            { (_, value, arguments) throws(TemplateError) in
                _ = try arguments.list("dict.\(kind)", 0, 0)
                guard case .dictionary(let members) = value else { return .none }
                return .view(DictionaryView(kind: kind, members: members))
            }
        }

        private static let copy: Method = { (_, value, arguments) throws(TemplateError) in
            _ = try arguments.list("copy", 0, 0)
            return value
        }

        private static let count: Method = { (rendering, value, arguments) throws(TemplateError) in
            let wanted = try arguments.list("count", 1, 1)[0]
            var count = 0
            for element in try rendering.elements(of: value) where try rendering.equal(element, wanted) { count += 1 }
            return .int(count)
        }

        private static let index: Method = { (rendering, value, arguments) throws(TemplateError) in
            let list = try arguments.list("index", 1, 3)
            let elements = try rendering.elements(of: value)
            let start = try list.count > 1 ? list[1].index("index") : nil
            let stop = try list.count > 2 ? list[2].index("index") : nil
            let positions = Rendering.slice(start, stop, 1, of: elements.count)
            for index in 0..<positions.count where try rendering.equal(elements[positions[index]], list[0]) { return .int(positions[index]) }
            throw .evaluation("\(try rendering.representation(of: list[0]).string) is not in \(value.typeName)")
        }
    }
}
