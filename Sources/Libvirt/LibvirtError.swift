import CLibvirt
import Fleet

/// Reads this thread's last libvirt error as a typed one.
///
/// To be called right after the failed call, on the same thread.
func lastError(_ call: String, host: HostName, guest: GuestID? = nil) -> HypervisorError {
    guard let error = virGetLastError() else {
        return HypervisorError(.failed, call: call, host: host, guest: guest, words: "no reason given")
    }
    let code = error.pointee.code
    let words = error.pointee.message.map { String(cString: $0) } ?? "no reason given"
    return HypervisorError(kind(ofCode: code, domain: error.pointee.domain), call: call, host: host, guest: guest, code: code, words: words)
}

/// What a caller can do about an error of libvirt's, by its number.
///
/// The RPC layer reports a lost connection as VIR_ERR_RPC, VIR_ERR_INTERNAL_ERROR ("client socket is closed") or
/// VIR_ERR_SYSTEM_ERROR from the domain of the remote driver or of RPC.
func kind(ofCode code: Int32, domain: Int32) -> HypervisorError.Kind {
    let isRemote = [VIR_FROM_RPC, VIR_FROM_REMOTE].contains { Int32($0.rawValue) == domain }
    switch virErrorNumber(rawValue: UInt32(bitPattern: code)) {
    case VIR_ERR_NO_DOMAIN: return .noSuchGuest
    case VIR_ERR_NO_STORAGE_POOL, VIR_ERR_NO_STORAGE_VOL, VIR_ERR_NO_NETWORK, VIR_ERR_NO_NWFILTER, VIR_ERR_NO_DOMAIN_METADATA:
        return .noSuchObject
    case VIR_ERR_NO_SUPPORT, VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_OPERATION_UNSUPPORTED: return .unsupported
    case VIR_ERR_OPERATION_DENIED, VIR_ERR_ACCESS_DENIED: return .denied
    case VIR_ERR_AUTH_FAILED, VIR_ERR_AUTH_CANCELLED, VIR_ERR_AUTH_UNAVAILABLE: return .refused
    case VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_AGENT_UNRESPONSIVE: return .timedOut
    case VIR_ERR_NO_CONNECT, VIR_ERR_INVALID_CONN: return .disconnected
    case VIR_ERR_INVALID_ARG, VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL: return .invalid
    case VIR_ERR_RPC: return .disconnected
    case VIR_ERR_SYSTEM_ERROR, VIR_ERR_INTERNAL_ERROR: return isRemote ? .disconnected : .failed
    default: return .failed
    }
}
