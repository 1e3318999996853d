import Fencing
import Foundation
import Testing

@Suite("Power switches")
struct FenceDeviceTests {
    /// A fence agent of this text, which keeps its power in the file `power` beside it.
    static func device(_ body: String, power: String = "on") throws -> FenceDevice {
        let folder = FileManager.default.temporaryDirectory.appending(path: "steward-fence-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(power.utf8).write(to: folder.appending(path: "power"))
        let agent = folder.appending(path: "agent")
        let text = """
            #!/bin/sh
            power="\(folder.path)/power"
            settings=$(cat)
            action=$(printf '%s' "$settings" | sed -n 's/^action=//p')
            \(body)
            """
        try Data(text.utf8).write(to: agent)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: agent.path)
        return try FenceDevice(agent: agent.path, settings: "# a comment\nip=10.0.0.5\n\npassword=secret\n")
    }

    static let status = "if [ $action = status ]; then [ $(cat $power) = on ] && exit 0 || exit 2; fi"

    @Test("the power is read as the agent's exit status says", arguments: [("on", PowerReading.on), ("off", .off)])
    func reading(power: String, reading: PowerReading) throws {
        #expect(try FenceDeviceTests.device(FenceDeviceTests.status, power: power).readPower() == reading)
    }

    @Test("a switch that works: on before, off after, no failure")
    func works() throws {
        let attempt = try FenceDeviceTests.device(FenceDeviceTests.status + "\necho off > $power").powerOff(within: .seconds(20))
        #expect(attempt.before == .on && attempt.after == .off && attempt.failure == nil)
    }

    @Test("what is off already is not switched")
    func alreadyOff() throws {
        let device = try FenceDeviceTests.device(FenceDeviceTests.status + "\necho touched > $power", power: "off")
        let attempt = device.powerOff(within: .seconds(20))
        #expect(attempt.before == .off && attempt.after == .off)
        #expect(device.readPower() == .off)
    }

    @Test("an agent that claims success and leaves the power on is not believed")
    func okButOn() throws {
        let attempt = try FenceDeviceTests.device(FenceDeviceTests.status + "\nexit 0").powerOff(within: .seconds(20))
        #expect(attempt.failure == nil && attempt.after == .on)
    }

    @Test("an agent that reports an error and has switched off has switched off")
    func errorButOff() throws {
        let attempt = try FenceDeviceTests.device(FenceDeviceTests.status + "\necho off > $power; echo broken; exit 1").powerOff(
            within: .seconds(20))
        #expect(attempt.failure?.contains("broken") == true && attempt.after == .off)
    }

    @Test("an agent that hangs is ended with its children, and the power is read")
    func hangs() throws {
        let attempt = try FenceDeviceTests.device(FenceDeviceTests.status + "\nsleep 1000 & sleep 1000").powerOff(
            within: .milliseconds(300))
        #expect(attempt.isTimedOut && attempt.after == .on)
    }

    @Test("an agent that prints rubbish and ends strangely is dark")
    func rubbish() throws {
        let reading = try FenceDeviceTests.device("head -c 100000 /dev/urandom; exit 77").readPower()
        guard case .dark(let why) = reading else {
            Issue.record("\(reading)")
            return
        }
        #expect(why.contains("status 77"))
    }

    @Test("an agent that does not exist is dark, and says which package to look for")
    func missing() throws {
        let device = try FenceDevice(agent: "fence_no_such_agent", settings: "ip=10.0.0.5")
        guard case .dark(let why) = device.readPower() else {
            Issue.record("it was read")
            return
        }
        #expect(why.contains("fence_no_such_agent cannot be run"))
    }

    @Test(
        "settings that no agent could use are refused, with the line",
        arguments: [
            ("", "no settings"), ("ip=1\nnonsense", "line 2"), ("ip=1\naction=off", "line 2: the action is Steward's"), ("=x", "line 1"),
        ])
    func refused(text: String, words: String) {
        let error = #expect(throws: FenceDeviceError.self) { try FenceDevice(agent: "fence_ipmilan", settings: text) }
        #expect(error?.description.contains(words) == true)
    }
}
