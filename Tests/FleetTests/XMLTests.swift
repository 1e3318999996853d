import Fleet
import Testing

@Suite("Reading XML")
struct XMLTests {
    @Test(
        "references, CDATA, comments and line ends are resolved in text",
        arguments: [
            ("<a>&lt;&gt;&amp;&quot;&apos;</a>", "<>&\"'"),
            ("<a>&#65;&#x42;&#x1F600;</a>", "AB\u{1F600}"),
            ("<a>x<!-- <b> -- not markup -->y</a>", "xy"),
            ("<a>x<![CDATA[<b>&amp;]]]>y</a>", "x<b>&amp;]y"),
            ("<a>1\r\n2\r3\n4</a>", "1\n2\n3\n4"),
            ("<?xml version='1.0'?>\n<!-- c --><a>x</a>\n<!-- d -->\n", "x"),
            ("\u{FEFF}<a>x<?target some <data>?>y</a>", "xy"),
            ("<a/>", ""), ("<a  />", ""), ("<a></a >", ""), ("<ä>ö</ä>", "ö"),
        ])
    func text(document: String, expected: String) throws {
        #expect(try XMLElement(parsing: document).text == expected)
    }

    @Test("white space in an attribute becomes spaces, a reference to it stays")
    func attributes() throws {
        let element = try XMLElement(parsing: "<a one='1\n\t2' two = \"it's &#10;\" p:three='3' xmlns:p='u'/>")
        #expect(element["one"] == "1  2")
        #expect(element["two"] == "it's \n")
        #expect(element["three"] == "3")
        #expect(element.attributes.count == 3)
    }

    @Test("a namespace is known by its URI, whatever the prefix, and ends with its element")
    func namespaces() throws {
        let root = try XMLElement(parsing: "<r xmlns:p='u1'><p:a xmlns:p='u2'><p:b/></p:a><p:c/><d xmlns='u3'><e/></d><f/></r>")
        #expect(root.child("a", namespace: "u2")?.child("b", namespace: "u2") != nil)
        #expect(root.child("c", namespace: "u1") != nil)
        #expect(root.child("d", namespace: "u3")?.child("e", namespace: "u3") != nil)
        #expect(root.child("f") != nil)
    }

    @Test(
        "what is not well formed is refused with its place",
        arguments: [
            ("", "line 1, column 1: a document without an element"),
            ("<a>\n <b>\n</a>", "line 3, column 4: </a> stands where </b> is expected"),
            ("<a>", "line 1, column 4: the document ends inside <a>"),
            ("<a><b", "line 1, column 6: the document ends inside the tag <b"),
            ("<a/><b/>", "line 1, column 5: a second root element"),
            ("x<a/>", "line 1, column 1: text before the root element"),
            ("<a/>x", "line 1, column 5: text after the root element"),
            ("</a>", "line 1, column 4: </a> closes nothing"),
            ("<a b/>", "line 1, column 5: the attribute b has no value"),
            ("<a b=c/>", "line 1, column 6: the value of the attribute b is not quoted"),
            ("<a b='c/>", "line 1, column 6: the value of the attribute b has no end"),
            ("<a b='<'/>", "line 1, column 7: '<' inside an attribute's value"),
            ("<a b='1' b='2'/>", "line 1, column 15: the attribute b stands twice in <a>"),
            ("<a b='1'c='2'/>", "line 1, column 9: white space is missing before an attribute of <a>"),
            ("<a>&nbsp;</a>", "line 1, column 4: &nbsp; is not a reference that XML defines"),
            ("<a>&amp</a>", "line 1, column 4: '&' begins no reference"),
            ("<a>&#0;</a>", "line 1, column 4: &#0; names no character"),
            ("<a>&#xD800;</a>", "line 1, column 4: &#xD800; names no character"),
            ("<a><!-- </a>", "line 1, column 4: a comment has no end"),
            ("<a><![CDATA[ </a>", "line 1, column 4: CDATA has no end"),
            ("<p:a/>", "line 1, column 7: the namespace prefix p is not declared"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "line 1, column 1: a document type declaration, which is not read"),
            ("<a / >", "line 1, column 6: '/' in a tag is not followed by '>'"),
            ("<a /", "line 1, column 5: '/' in a tag is not followed by '>'"),
        ])
    func malformed(document: String, message: String) throws {
        let error = #expect(throws: XMLError.self) { try XMLElement(parsing: document) }
        #expect(error?.description == message)
    }

    @Test("nesting is read to its bound and refused one beyond it")
    func depth() throws {
        func nested(_ depth: Int) -> String { String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth) }
        _ = try XMLElement(parsing: nested(XMLReader.maximumDepth))
        #expect(throws: XMLError.self) { try XMLElement(parsing: nested(XMLReader.maximumDepth + 1)) }
    }

    @Test("a document is read to its bound and refused one byte beyond it")
    func size() throws {
        func document(_ bytes: Int) -> String { "<a>" + String(repeating: "x", count: bytes - 7) + "</a>" }
        #expect(try XMLElement(parsing: document(XMLReader.maximumBytes)).text.utf8.count == XMLReader.maximumBytes - 7)
        #expect(throws: XMLError.self) { try XMLElement(parsing: document(XMLReader.maximumBytes + 1)) }
    }

    @Test("every document cut off anywhere is refused, none crashes")
    func cutOff() {
        let document = Array("<?xml version='1.0'?><a b='&lt;'><!-- c --><p:d xmlns:p='u'>e<![CDATA[f]]></p:d></a>".utf8)
        for length in 0..<document.count {
            #expect(throws: XMLError.self) { try XMLElement(parsing: String(decoding: document[..<length], as: UTF8.self)) }
        }
    }
}
