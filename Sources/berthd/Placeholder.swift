// Replaced by the first command.
@main struct Placeholder { static func main() {} }
