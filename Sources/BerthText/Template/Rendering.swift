// One rendering of one template: its variables, its output, and what it may still spend.
//
// Lives for one call of `ChatTemplate.render`, on one thread. Every loop, call, text and list is paid for in steps
// (16 elements or 256 bytes cost one), so that neither a hostile template nor a huge conversation can hold the thread
// for long or fill memory; nesting of evaluation is counted too, because it is nesting of the machine stack.

import BerthCore
import OrderedCollections

extension Jinja {
    /// The variables of one block, and the block around it.
    final class Scope {
        let parent: Scope?
        private var variables: [(name: Name, value: Value)] = []

        init(parent: Scope?) { self.parent = parent }

        subscript(name: Name) -> Value? {
            get {
                for index in variables.indices where variables[index].name == name { return variables[index].value }
                return nil
            }
            set {
                for index in variables.indices where variables[index].name == name {
                    variables[index].value = newValue!
                    return
                }
                variables.append((name, newValue!))
            }
        }

        func removeAll() { variables.removeAll(keepingCapacity: true) }
    }

    typealias Dictionary = OrderedDictionary<Value, Value>

    final class Rendering {
        let program: Program
        let now: WallTime
        /// What the caller passed, and the global functions, for each name of the template.
        private let globals: [Value?]
        let root = Scope(parent: nil)
        var scope: Scope
        var output: [UInt8] = []
        /// Bytes in the outputs that wait while a block is captured.
        var outerBytes = 0
        private let stepLimit: Int
        /// What has been spent.
        private(set) var steps = 0
        private var depth = 0
        /// Where in the source we are: an error is stamped with it.
        var position = Position.unknown
        /// Things that may hold each other in a circle, emptied at the end.
        private var namespaces: [Namespace] = []
        private var capturedScopes: [Scope] = []

        init(_ program: Program, variables: [String: Value], now: WallTime, stepLimit: Int = Limits.templateSteps) {
            self.program = program
            self.now = now
            self.stepLimit = stepLimit
            globals = program.names.map { variables[$0] ?? Globals.value(named: $0) }
            scope = root
        }

        func run() throws(TemplateError) -> String {
            defer { dismantle() }
            do throws(TemplateError) {
                _ = try execute(program.body)
            } catch {
                var error = error
                if error.line == 0 {
                    error.line = Int(position.line)
                    error.column = Int(position.column)
                }
                throw error
            }
            return String(decoding: output, as: UTF8.self)
        }

        private func dismantle() {
            scope = root
            for namespace in namespaces { namespace.attributes = [:] }
            for scope in capturedScopes { scope.removeAll() }
            root.removeAll()
        }

        func makeNamespace() -> Namespace {
            let namespace = Namespace()
            namespaces.append(namespace)
            return namespace
        }

        /// Notes that a value keeps `scope` alive, which may hold that value.
        func noteCapture(of scope: Scope) {
            if capturedScopes.last !== scope { capturedScopes.append(scope) }
        }

        // MARK: what may be spent

        func charge(_ cost: Int = 1) throws(TemplateError) {
            steps += cost
            guard steps <= stepLimit else { throw .limit("rendering takes more than \(stepLimit) steps") }
        }

        /// Pays for a new text of `bytes` bytes, before it is made.
        func chargeText(_ bytes: Int) throws(TemplateError) {
            guard bytes <= Limits.templateOutputBytes else { throw .limit("a text of more than \(Limits.templateOutputBytes) bytes") }
            try charge(1 + bytes >> 8)
        }

        func enter() throws(TemplateError) {
            depth += 1
            guard depth <= Limits.templateCallDepth else { throw .limit("evaluation nested deeper than \(Limits.templateCallDepth) levels") }
        }

        func leave() { depth -= 1 }

        // MARK: making values

        func list(_ values: [Value]) throws(TemplateError) -> Value {
            try charge(values.count >> 4)
            return .list(try Elements(values))
        }

        func tuple(_ values: [Value]) throws(TemplateError) -> Value {
            try charge(values.count >> 4)
            return .tuple(try Elements(values))
        }

        func string(_ text: Text) throws(TemplateError) -> Value {
            try chargeText(text.bytes.count)
            return .string(text)
        }

        /// A list of texts, as `split` gives.
        func list(_ texts: [Text]) throws(TemplateError) -> Value {
            try charge(texts.count)
            var values: [Value] = []
            values.reserveCapacity(texts.count)
            for text in texts { values.append(try string(text)) }
            return .list(try Elements(values))
        }

        func equal(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
            try charge(min(left.weight, right.weight) >> 4)
            return left == right
        }

        // MARK: variables

        func value(of name: Name) -> Value {
            var scope: Scope? = scope
            while let current = scope {
                if let value = current[name] { return value }
                scope = current.parent
            }
            return globals[name] ?? .undefined("'\(program.names[name])' is undefined")
        }

        // MARK: output

        func write(_ text: Text) throws(TemplateError) {
            try charge(text.bytes.count >> 8)
            guard outerBytes + output.count + text.bytes.count <= Limits.templateOutputBytes else {
                throw .limit("output of more than \(Limits.templateOutputBytes) bytes")
            }
            output.append(contentsOf: text.bytes)
        }

        /// What `body` writes.
        func capture(_ body: () throws(TemplateError) -> Flow) throws(TemplateError) -> (text: Text, flow: Flow) {
            var outer: [UInt8] = []
            swap(&outer, &output)
            outerBytes += outer.count
            let flow = try body()
            swap(&outer, &output)
            outerBytes -= output.count
            try charge(1 + outer.count >> 8)
            return (Text(bytes: outer), flow)
        }
    }

    /// How a sequence of statements ended.
    enum Flow { case normal, leave, proceed }
}
