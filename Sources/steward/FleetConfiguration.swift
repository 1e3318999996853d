import Actuation
import Fleet
import Glibc
import Libvirt
import OperatorFiles
import TimeSeries

/// Reads the hosts of a fleet file and the credentials that it names: all of it, or nothing.
///
/// - Throws: ``Failure`` with every mistake on a line of its own, `file:line:column: error: …`.
func readFleetFile(_ path: String) throws(Failure) -> [WatchedHost] {
    let text = try readTextFile(path)
    let (hosts, problems) = FleetFile.read(text, file: path) { uri in
        do throws(ConnectionURIError) {
            _ = try ConnectionURI(uri)
            return nil
        } catch {
            return error.description
        }
    }
    guard let hosts else { throw Failure(problems.map(\.description).joined(separator: "\n"), code: Failure.usage) }
    guard !hosts.isEmpty else { throw Failure("\(path): no hosts; list at least one under 'hosts:'", code: Failure.usage) }
    var watched: [WatchedHost] = []
    for host in hosts {
        do {
            let uri = try ConnectionURI(host.uri)
            watched.append(
                WatchedHost(
                    name: host.name, uri: uri, operateURI: try host.operateURI.map { try ConnectionURI($0) } ?? uri,
                    credentials: try host.credentials.map { try readCredentials($0, host: host.name) }, configured: host))
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure("\(path): host '\(host.name)': \(error)", code: Failure.usage)
        }
    }
    return watched
}

private func readCredentials(_ path: String, host: HostName) throws(Failure) -> Credentials {
    var status = stat()
    guard stat(path, &status) == 0 else {
        throw Failure(
            "the credentials of host '\(host)', \(path): \(systemError()); make it with 'user:' and 'password:'", code: Failure.usage)
    }
    guard status.st_mode & 0o077 == 0 else {
        throw Failure("the credentials of host '\(host)', \(path), can be read by others; run chmod 600 \(path)", code: Failure.usage)
    }
    let (credentials, problems) = FleetFile.readCredentials(try readTextFile(path), file: path)
    guard let credentials else { throw Failure(problems.map(\.description).joined(separator: "\n"), code: Failure.usage) }
    return Credentials(user: credentials.user, password: credentials.password)
}

extension ConfiguredHost {
    /// Zone, region and the operator's labels (`label_` before their names), for the series that describes the host.
    var descriptiveLabels: [Label] {
        [zone.map { Label("zone", $0) }, region.map { Label("region", $0) }].compactMap { $0 }
            + labels.map { Label("label_" + $0.name, $0.value) }
    }
}

extension WatchedHost {
    /// The host as the actuator reaches it: by the URI for operating.
    var actuatorHost: ActuatorHost { ActuatorHost(name, address: operateURI, credentials: credentials) }

    /// What a lane's connection depends on: where this differs, the lane begins anew.
    var fingerprint: String { [uri.text, credentials?.user ?? "", credentials?.password ?? ""].joined(separator: "\u{0}") }
}

/// The most bytes of a file that a command reads whole; operators' files are read by people.
private let maximumTextBytes = 8 << 20

/// A whole text file; the failure names it and says why.
func readTextFile(_ path: String) throws(Failure) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure("cannot open \(path): \(systemError())", code: Failure.usage) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = read(descriptor, &chunk, chunk.count)
        guard count >= 0 else { throw Failure("cannot read \(path): \(systemError())", code: Failure.usage) }
        if count == 0 { break }
        bytes += chunk[..<count]
        guard bytes.count <= maximumTextBytes else {
            throw Failure("\(path) has more than \(maximumTextBytes) bytes; is it the right file?", code: Failure.usage)
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// The system's words for what just failed.
func systemError() -> String { String(cString: strerror(errno)) }
