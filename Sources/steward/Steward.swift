import Libvirt

@main struct Main { static func main() throws { let r = try LibvirtRuntime(); print(r.libraryVersion) } }
