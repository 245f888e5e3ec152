// The tests behind `is`.

extension Jinja {
    enum Tests {
        static let table: [String: TestFunction] = [
            "defined": kind { !$0.isUndefined }, "undefined": kind { $0.isUndefined }, "none": kind { $0.isNone },
            "boolean": kind { if case .bool = $0 { true } else { false } },
            "true": kind { if case .bool(true) = $0 { true } else { false } },
            "false": kind { if case .bool(false) = $0 { true } else { false } },
            "integer": kind { if case .int = $0 { true } else { false } },
            "float": kind { if case .float = $0 { true } else { false } },
            "number": kind { $0.number != nil }, "string": kind { $0.text != nil },
            "mapping": kind { if case .dictionary = $0 { true } else { false } },
            "sequence": kind { isSequence($0) }, "iterable": kind { isIterable($0) },
            "callable": kind { isCallable($0) }, "escaped": kind { if case .markup = $0 { true } else { false } },
            "lower": { (rendering, value, _) throws(TemplateError) in try rendering.text(of: value).isLowercase },
            "upper": { (rendering, value, _) throws(TemplateError) in try rendering.text(of: value).isUppercase },
            "odd": { (rendering, value, _) throws(TemplateError) in try remainder(rendering, value, .int(2)) == .int(1) },
            "even": { (rendering, value, _) throws(TemplateError) in try remainder(rendering, value, .int(2)) == .int(0) },
            "divisibleby": { (rendering, value, arguments) throws(TemplateError) in
                try remainder(rendering, value, try operand("divisibleby", arguments)) == .int(0)
            },
            "filter": { (_, value, _) throws(TemplateError) in
                if let error = value.unhashable { throw error }
                return value.text.map { Filters.table[$0.string] != nil } ?? false
            },
            "test": { (_, value, _) throws(TemplateError) in
                if let error = value.unhashable { throw error }
                return value.text.map { table[$0.string] != nil } ?? false
            },
            "sameas": { (_, value, arguments) throws(TemplateError) in Value.isSame(value, try operand("sameas", arguments)) },
            "in": { (rendering, value, arguments) throws(TemplateError) in try rendering.contains(try operand("in", arguments), value) },
            "==": comparison(.equal), "eq": comparison(.equal), "equalto": comparison(.equal),
            "!=": comparison(.notEqual), "ne": comparison(.notEqual),
            ">": comparison(.greater), "gt": comparison(.greater), "greaterthan": comparison(.greater),
            ">=": comparison(.greaterEqual), "ge": comparison(.greaterEqual),
            "<": comparison(.less), "lt": comparison(.less), "lessthan": comparison(.less),
            "<=": comparison(.lessEqual), "le": comparison(.lessEqual),
        ]

        private static func kind(_ test: @escaping @Sendable (Value) -> Bool) -> TestFunction {
            { (_, value, arguments) throws(TemplateError) in
                guard arguments.isEmpty else { throw .evaluation("a test of a value's kind takes no arguments") }
                return test(value)
            }
        }

        private static func comparison(_ operation: ComparisonOperator) -> TestFunction {
            { (rendering, value, arguments) throws(TemplateError) in
                try rendering.compare(value, operation, try operand(operation.rawValue, arguments))
            }
        }

        private static func operand(_ name: String, _ arguments: Arguments) throws(TemplateError) -> Value {
            guard arguments.positional.count + arguments.keywords.count == 1 else { throw .evaluation("test '\(name)' takes one argument") }
            return arguments.positional.first ?? arguments.keywords[0].value
        }

        private static func remainder(_ rendering: Rendering, _ value: Value, _ divisor: Value) throws(TemplateError) -> Value {
            try rendering.apply(.modulo, value, divisor)
        }

        private static func isSequence(_ value: Value) -> Bool {
            switch value {
            case .undefined, .string, .markup, .list, .tuple, .dictionary, .range: true
            default: false
            }
        }

        private static func isIterable(_ value: Value) -> Bool {
            switch value {
            case .none, .bool, .int, .float: false
            case .object(let object): object is LoopContext
            default: true
            }
        }

        private static func isCallable(_ value: Value) -> Bool {
            switch value {
            case .object(let object): object.isCallable
            // Jinja's undefined value can be called; the call then fails.
            case .undefined: true
            default: false
            }
        }
    }
}
