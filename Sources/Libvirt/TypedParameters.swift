import CLibvirt
import Fleet
import Glibc

/// Copies libvirt's typed parameters out, reusing the names and texts of `previous` where the shape has not changed.
///
/// From tick to tick a guest's parameters keep their names and order, so that in the usual case no String is made.
func copyParameters(_ parameters: virTypedParameterPtr?, count: Int, reusing previous: [StatParameter]) -> [StatParameter] {
    guard let parameters else { return [] }
    var copied: [StatParameter] = []
    copied.reserveCapacity(count)
    for index in 0..<count {
        let place = Int32(index)
        let earlier = index < previous.count ? previous[index] : nil
        let name: String
        if let earlier, isNamed(parameters, place, earlier.name) {
            name = earlier.name
        } else {
            name = String(cString: steward_parameter_field(parameters, place))
        }
        if let value = value(of: parameters, at: place, earlier: earlier?.value) { copied.append(StatParameter(name, value)) }
    }
    return copied
}

private func isNamed(_ parameters: virTypedParameterPtr, _ index: Int32, _ name: String) -> Bool {
    var name = name
    return name.withUTF8 { bytes in
        bytes.withMemoryRebound(to: CChar.self) { characters in
            guard let start = characters.baseAddress else { return false }
            return steward_parameter_is_named(parameters, index, start, characters.count) != 0
        }
    }
}

/// The value, or nil for a type that this version of Steward does not know.
private func value(of parameters: virTypedParameterPtr, at index: Int32, earlier: StatValue?) -> StatValue? {
    switch UInt32(steward_parameter_type(parameters, index)) {
    case VIR_TYPED_PARAM_INT.rawValue, VIR_TYPED_PARAM_LLONG.rawValue:
        return .signed(steward_parameter_signed(parameters, index))
    case VIR_TYPED_PARAM_UINT.rawValue, VIR_TYPED_PARAM_ULLONG.rawValue:
        return .unsigned(steward_parameter_unsigned(parameters, index))
    case VIR_TYPED_PARAM_DOUBLE.rawValue:
        return .real(steward_parameter_real(parameters, index))
    case VIR_TYPED_PARAM_BOOLEAN.rawValue:
        return .flag(steward_parameter_flag(parameters, index) != 0)
    case VIR_TYPED_PARAM_STRING.rawValue:
        guard let text = steward_parameter_text(parameters, index) else { return nil }
        if case .text(let known)? = earlier,
            known.utf8.elementsEqual(UnsafeBufferPointer(start: text, count: strlen(text)).lazy.map { UInt8(bitPattern: $0) })
        {
            return earlier
        }
        return .text(String(cString: text))
    default:
        return nil
    }
}
