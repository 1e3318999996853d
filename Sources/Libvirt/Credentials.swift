import CLibvirt
import Glibc

/// A user and a password for libvirt's SASL, from the operator's credentials file.
public struct Credentials: Sendable {
    /// The user.
    public let user: String
    /// The password.
    public let password: String

    /// Credentials.
    public init(user: String, password: String) {
        self.user = user
        self.password = password
    }
}

extension Credentials? {
    /// Runs `body` with libvirt's authentication structure: it answers user and password, and never asks a person.
    func withAuthentication<Result>(_ body: (virConnectAuthPtr?) -> Result) -> Result {
        guard let self else { return body(nil) }
        var types = [Int32(VIR_CRED_AUTHNAME.rawValue), Int32(VIR_CRED_USERNAME.rawValue), Int32(VIR_CRED_PASSPHRASE.rawValue)]
        let box = Unmanaged.passRetained(CredentialsBox(self))
        defer { box.release() }
        return types.withUnsafeMutableBufferPointer { types in
            var authentication = virConnectAuth(
                credtype: types.baseAddress, ncredtype: UInt32(types.count), cb: answerCredentials, cbdata: box.toOpaque())
            return body(&authentication)
        }
    }
}

private final class CredentialsBox {
    let credentials: Credentials
    init(_ credentials: Credentials) { self.credentials = credentials }
}

/// libvirt frees each result with free(), hence strdup.
private func answerCredentials(_ requests: virConnectCredentialPtr?, _ count: UInt32, _ data: UnsafeMutableRawPointer?) -> Int32 {
    guard let requests, let data else { return -1 }
    let credentials = Unmanaged<CredentialsBox>.fromOpaque(data).takeUnretainedValue().credentials
    for index in 0..<Int(count) {
        let isPassword = requests[index].type == Int32(VIR_CRED_PASSPHRASE.rawValue)
        let answer = isPassword ? credentials.password : credentials.user
        requests[index].result = strdup(answer)
        requests[index].resultlen = UInt32(answer.utf8.count)
    }
    return 0
}
