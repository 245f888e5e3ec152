// Where a checkpoint keeps its chat templates: inside tokenizer_config.json, as one text or as a list with names, or in files
// beside it, `chat_template.jinja` and `additional_chat_templates/NAME.jinja`.

import BerthCore
import Glibc
import OrderedCollections

extension TokenizerConfiguration {
    private static let standard = "default"
    private static let suffix = ".jinja"

    /// What `chat_template` says: a template, or a list of `{name, template}`.
    static func templates(_ json: JSON, _ reader: ComponentReader) throws(TextError) -> OrderedDictionary<String, String> {
        if let text = json.string { return [standard: text] }
        guard json.array != nil else { throw reader.wrongType("chat_template", "a template or a list of them") }
        var templates: OrderedDictionary<String, String> = [:]
        for element in try reader.components("chat_template") {
            templates[try element.string("name")] = try element.string("template")
            try checkCount(templates.count)
        }
        return templates
    }

    /// Reads the files. `chat_template.jinja` stands for all that the configuration says, which older programs read.
    mutating func readTemplateFiles(_ directory: String) throws(TextError) {
        if let text = try Self.template("\(directory)/chat_template\(Self.suffix)") { chatTemplates = [Self.standard: text] }
        let folder = directory + "/additional_chat_templates"
        for file in try Self.templateFiles(in: folder) {
            guard let text = try Self.template("\(folder)/\(file)") else { continue }
            chatTemplates[String(file.dropLast(Self.suffix.count))] = text
            try Self.checkCount(chatTemplates.count)
        }
    }

    private static func template(_ path: String) throws(TextError) -> String? {
        try FileBytes.readIfPresent(path, limit: Limits.configurationFileBytes).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func checkCount(_ count: Int) throws(TextError) {
        guard count <= Limits.chatTemplates else { throw TextError(.tooLarge, "more than \(Limits.chatTemplates) chat templates") }
    }

    /// The names of the templates in a folder, in order; none where there is no such folder.
    private static func templateFiles(in folder: String) throws(TextError) -> [String] {
        guard let stream = opendir(folder) else {
            if errno == ENOENT { return [] }
            throw TextError(.unreadable, "additional_chat_templates: \(String(cString: strerror(errno)))")
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            guard name.hasSuffix(suffix) else { continue }
            names.append(name)
            try checkCount(names.count)
        }
        return names.sorted()
    }
}
