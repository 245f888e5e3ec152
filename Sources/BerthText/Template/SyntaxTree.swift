// What a template means, before anybody asks: immutable, shared by all renderings.
//
// Chains that a reader sees as flat are flat here (`a + b + c`, `x.y[0]|trim`), so that depth of the tree is depth of
// nesting in the source, and recursion over the tree is bounded by what the parser let through. Names are numbers into
// `Names`; the functions behind filters and tests are looked up once, here.

extension Jinja {
    /// A variable's name as an index into the template's table of names.
    typealias Name = Int

    /// A name of an attribute, in both forms that are needed at run time.
    struct Attribute: Sendable {
        let name: String
        let text: Text
        init(_ name: String) {
            self.name = name
            text = Text(name)
        }
    }

    indirect enum Expression: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case float(Double)
        case string(Text)
        case name(Name)
        case tuple([Expression])
        case list([Expression])
        case dictionary([Pair])
        case not(Expression)
        case negative(Expression)
        case positive(Expression)
        case arithmetic(Expression, [ArithmeticStep])
        case concatenation([Expression])
        case comparison(Expression, [ComparisonStep])
        case and([Expression])
        case or([Expression])
        /// `then if test else otherwise`; without the last the value is undefined where the test fails.
        case conditional(then: Expression, test: Expression, otherwise: Expression?)
        case chain(Expression, [Step])
    }

    struct Pair: Sendable {
        let key: Expression
        let value: Expression
    }

    struct ArithmeticStep: Sendable {
        let operation: ArithmeticOperator
        let operand: Expression
    }

    enum ArithmeticOperator: String, Sendable {
        case add = "+", subtract = "-", multiply = "*", divide = "/", floorDivide = "//", modulo = "%", power = "**"
    }

    struct ComparisonStep: Sendable {
        let operation: ComparisonOperator
        let operand: Expression
    }

    enum ComparisonOperator: String, Sendable {
        case equal = "==", notEqual = "!=", less = "<", lessEqual = "<=", greater = ">", greaterEqual = ">="
        case contained = "in", notContained = "not in"
    }

    /// Something written behind an expression.
    struct Step: Sendable {
        enum Operation: Sendable {
            case attribute(Attribute)
            case item(Expression)
            case slice(Expression?, Expression?, Expression?)
            case call(ArgumentList)
            case filter(FilterCall)
            case test(TestCall)
        }

        let operation: Operation
        let position: Position
    }

    struct ArgumentList: Sendable {
        var positional: [Expression] = []
        var keywords: [(name: String, value: Expression)] = []
        var spread: Expression?
        var keywordSpread: Expression?
    }

    struct FilterCall: Sendable {
        let name: String
        /// Nil for a name that does not exist, in a branch that may never be taken.
        let function: FilterFunction?
        let arguments: ArgumentList
        let position: Position
    }

    struct TestCall: Sendable {
        let name: String
        let function: TestFunction?
        let arguments: ArgumentList
        let isNegated: Bool
    }

    indirect enum Target: Sendable {
        case name(Name)
        case attribute(Name, Attribute)
        case tuple([Target])
    }

    struct Statement: Sendable {
        indirect enum Operation: Sendable {
            case text(Text)
            case print(Expression)
            case branch([(test: Expression, body: [Statement])], otherwise: [Statement])
            case loop(ForLoop)
            case assign(Target, Expression)
            case capture(Target, filters: [FilterCall], body: [Statement])
            case with([(target: Target, value: Expression)], body: [Statement])
            case macro(Name, MacroDefinition)
            /// `{% call %}`: the call's callee, its arguments, and the body that it receives as `caller`.
            case call(Expression, ArgumentList, MacroDefinition)
            /// `{% generation %}`: a body with variables of its own, printed in place.
            case generation(MacroDefinition)
            case filter([FilterCall], body: [Statement])
            case block([Statement])
            case scope([Statement])
            case leave
            case proceed
        }

        let operation: Operation
        let position: Position
    }

    final class ForLoop: Sendable {
        let target: Target
        let sequence: Expression
        let test: Expression?
        let isRecursive: Bool
        let body: [Statement]
        let otherwise: [Statement]
        let loopName: Name

        init(target: Target, sequence: Expression, test: Expression?, isRecursive: Bool, body: [Statement], otherwise: [Statement], loopName: Name) {
            self.target = target
            self.sequence = sequence
            self.test = test
            self.isRecursive = isRecursive
            self.body = body
            self.otherwise = otherwise
            self.loopName = loopName
        }
    }

    /// A macro, or the body of a call block (whose name is nil).
    final class MacroDefinition: Sendable {
        struct Parameter: Sendable {
            let name: String
            let symbol: Name
            let initial: Expression?
        }

        /// The special names a macro's body reads: only those are filled in, any surplus argument is an error.
        struct Uses: Sendable {
            var caller: Name?
            var varargs: Name?
            var kwargs: Name?
        }

        let name: String?
        let parameters: [Parameter]
        let uses: Uses
        let body: [Statement]

        init(name: String?, parameters: [Parameter], uses: Uses, body: [Statement]) {
            self.name = name
            self.parameters = parameters
            self.uses = uses
            self.body = body
        }
    }
}
