// Where in a folder an adapter lies, and which version of its files is there.
//
// PEFT saves an adapter that is not named "default" in a folder of its own below the given one, so one level down is looked at, too. A stamp
// costs a few looks at the file system and reads nothing: cheap enough for every request.

import Glibc

/// Where the adapter of a folder is.
public enum AdapterPlace: Sendable, Hashable {
    /// In this directory: the given one, or its only subfolder with an adapter.
    case one(directory: String)
    /// There is no `adapter_config.json` here, nor one level down.
    case none
    /// These subfolders have one each.
    case several(folders: [String])

    public init(of given: String) throws(AdapterRejection) {
        if exists("\(given)/\(AdapterCheckpoint.configurationName)") {
            self = .one(directory: given)
            return
        }
        let folders: [String]
        do throws(StoreError) {
            folders = try subfolders(of: given).filter { exists("\(given)/\($0)/\(AdapterCheckpoint.configurationName)") }
        } catch {
            throw AdapterRejection(error)
        }
        self =
            switch folders.count {
            case 0: .none
            case 1: .one(directory: "\(given)/\(folders[0])")
            default: .several(folders: folders)
            }
    }

    /// The directory of the one adapter; throws where there is none, or more than one.
    func directory() throws(AdapterRejection) -> String {
        switch self {
        case .one(let directory): return directory
        case .none: throw AdapterRejection(AdapterCheckpoint.configurationName, "\(AdapterCheckpoint.configurationName) is missing")
        case .several(let folders):
            let some = folders.prefix(8).joined(separator: ", ") + (folders.count > 8 ? ", …" : "")
            throw AdapterRejection(
                AdapterCheckpoint.configurationName,
                "the folder holds \(folders.count) adapters (\(some)), and one name can serve only one of them: "
                    + "give each a folder of its own, or load each by its own path under its own name")
        }
    }
}

/// What tells one version of an adapter's files from another without reading them.
public struct AdapterStamp: Sendable, Hashable {
    /// The directory that holds the files.
    let directory: String
    let configuration: ReadableFile.Identity
    let tensors: ReadableFile.Identity

    init(directory: String, configuration: ReadableFile.Identity, tensors: ReadableFile.Identity) {
        self.directory = directory
        self.configuration = configuration
        self.tensors = tensors
    }

    /// Stands for the version of what is at `path` in a text, whatever it is; another text where there is nothing.
    public static func version(ofFile path: String) -> String {
        var status = stat()
        return stat(path, &status) == 0 ? ReadableFile.Identity(status).text : "-"
    }

    /// Of the adapter that the folder `given` holds now; nil where a file of it is missing.
    public init?(of given: String) {
        guard let place = try? AdapterPlace(of: given), case .one(let directory) = place,
            let configuration = ReadableFile.Identity(at: "\(directory)/\(AdapterCheckpoint.configurationName)"),
            let tensors = ReadableFile.Identity(at: "\(directory)/\(AdapterCheckpoint.tensorsName)")
        else { return nil }
        self.init(directory: directory, configuration: configuration, tensors: tensors)
    }
}
