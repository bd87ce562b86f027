# SPDX-License-Identifier: MIT
"""JSON texts, those that are valid and those that are not, by subject.

The judge is RFC 8259. What it leaves to implementations is here only where handoff-wire(7) decides
it: lone surrogates, a byte order mark, numbers beyond a double, nesting.

None of the VALID objects has a member "in", so none is a request.
"""

SPACE = b" \t\n\r"

# handoff-wire(7): so deep may a body nest, the envelope around params and results included.
MAX_DEPTH = 64


def nested(levels: int) -> list[bytes]:
    """Arrays, objects, and both in turn, that nest so deep."""
    alternating = b""
    for level in range(levels):
        alternating = b'{"a":%s}' % (alternating or b"1") if level % 2 else b"[%s]" % alternating
    return [
        b"[" * levels + b"]" * levels,
        b'{"a":' * levels + b"1" + b"}" * levels,
        b"[[],[1]," * (levels - 2) + b"[[]]" + b"]" * (levels - 2),
        alternating,
    ]


def utf8(*codes: int) -> bytes:
    return "".join(map(chr, codes)).encode()


def prefixes(document: bytes, shortest: int = 1) -> list[bytes]:
    """What `document` begins with, in each length less than its own."""
    return [document[:size] for size in range(shortest, len(document))]


VALID = [
    # Words
    b"null", b"true", b"false", b"[null]", b"[true]", b"[false]", b"[null,true,false]",
    b'{"null":null,"true":true,"false":false}',

    # Arrays
    b"[]", b"[[]]", b"[[],[]]", b"[[[[[]]]]]", b"[1]", b"[1,2]", b"[[1],[2,[3]],4]", b'[""]',
    b'[1,"a",null,true,[],{}]', b"[" + b"0," * 9999 + b"0]", b"[" + b"[]," * 3333 + b"[]]",

    # Objects
    b"{}", b'{"a":1}', b'{"a":1,"b":2}', b'{"a":{}}', b'{"a":{"b":{"c":{}}}}', b'{"a":[]}',
    b'[{"a":1},{"a":2}]', b'{"a":[{"b":[{"c":[]}]}]}', b'{"b":1,"a":2}',
    b'{"error":{"code":-1,"message":"no"}}', b'{"out":"pong","result":1}',
    b"{" + b",".join(b'"key%d":%d' % (number, number) for number in range(3000)) + b"}",

    # Keys: empty, of any characters, that come twice
    b'{"":0}', b'{"":{"":{"":""}}}', b'{" ":1}', b'{"a b":1}', b'{"\\u0000":1}', b'{"\\"":1}',
    b'{"\\\\":1}', b'{"a\\nb":1}', b'{"\xc3\xa9":1}', b'{"\xf0\x9f\x98\x80":1}', b'{"{}[],:":1}',
    b'{"__proto__":{"a":1}}', b'{"1":1}', b'{"\\ud83d\\ude00":1}', b'{"' + b"k" * 5000 + b'":1}',
    b'{"a":1,"a":1}', b'{"a":1,"a":2,"a":3}', b'{"":1,"":2}', b'{"a":1,"\\u0061":2}',
    b'{"a":{"b":1},"a":{"c":2}}', b'[{"a":1,"a":2}]', b'{"a":1,"A":2}',

    # White space of each kind, in each place where it may stand
    *(space + b"null" + space for space in (b" ", b"\t", b"\n", b"\r", b"\r\n", b" \t\n\r")),
    *(space + b'"a"' for space in (b" ", b"\t", b"\n", b"\r")),
    *(b"7" + space for space in (b" ", b"\t", b"\n", b"\r")),
    *(b"[" + space + b"]" for space in (b" ", b"\t", b"\n", b"\r", b" \t\n\r")),
    *(b"{" + space + b"}" for space in (b" ", b"\t", b"\n", b"\r", b" \t\n\r")),
    *(space.join((b"", b"[", b"1", b",", b"-2.5", b",", b'"a"', b"]", b""))
      for space in (b" ", b"\t", b"\n", b"\r", b"\r\n")),
    *(space.join((b"", b"{", b'"a"', b":", b"true", b",", b'"b"', b":", b"null", b"}", b""))
      for space in (b" ", b"\t", b"\n", b"\r", b"\r\n")),
    b" " * 1000 + b"1" + b" " * 1000, b"[" + b"\n" * 5000 + b"]", b'{"a"' + b"\t" * 777 + b":1}",

    # Integers
    b"0", b"-0", b"1", b"-1", b"9", b"10", b"100", b"-100", b"1234567890", b"[0]", b"[-0]",
    b"[10,20]", b"9007199254740991", b"9007199254740993", b"2147483647", b"-2147483648",
    b"4294967295", b"4294967296", b"9223372036854775807", b"9223372036854775808",
    b"-9223372036854775808", b"-9223372036854775809", b"18446744073709551615",
    b"18446744073709551616", b"-18446744073709551616", b"100000000000000000000",

    # Fractions and exponents
    b"0.0", b"-0.0", b"0.5", b"-0.5", b"1.0", b"1.50", b"10.01", b"123.456789", b"1e0", b"1E0",
    b"1e5", b"1E5", b"1e+5", b"1E+5", b"1e-5", b"1E-5", b"0e0", b"0E0", b"0e+1", b"0e-1", b"-0e1",
    b"-0E-0", b"0.0e0", b"1.5e10", b"-1.5E-10", b"1e00", b"1e01", b"1e+007", b"1e-000", b"20e1",
    b"[1.5,-2.5e3]", b"[1e1]", b'{"a":1.0E+2}',

    # Numbers of many digits, and at the ends of a double's range
    b"123456789012345678901234567890", b"-" + b"7" * 100, b"1" * 308, b"0." + b"3" * 1000,
    b"1." + b"0" * 1000, b"1." + b"0" * 1000 + b"1", b"3.14159265358979323846264338327950288",
    b"1.00000000000000011102230246251565404236316680908203125", b"0." + b"0" * 300 + b"1",
    b"1" + b"0" * 308, b"1e308", b"-1e308", b"1.7976931348623157e308", b"-1.7976931348623157e308",
    b"1e-307", b"2.2250738585072014e-308", b"2.2250738585072011e-308", b"5e-324", b"4.9e-324",
    b"-5e-324", b"0e400", b"-0e99999", b"0.0e-400", b"0e" + b"9" * 19, b"0e" + b"9" * 20,
    b"0e-" + b"9" * 30, b"[0E+" + b"9" * 30 + b"]", b"1e" + b"0" * 18 + b"1",
    b"1e" + b"0" * 19 + b"1", b"[-2.5e-" + b"0" * 30 + b"3]", b"0." + b"1" * 30 + b"e308",
    b"0." + b"1" * 300 + b"e300", b"0." + b"0" * 15 + b"1" * 25 + b"e310",
    b"1e" + b"0" * 500 + b"1", b"1e-" + b"0" * 500 + b"1", b"1" + b"0" * 400 + b"e-400",
    b"0." + b"0" * 400 + b"1e400", b"0." + b"0" * 1000,
    b"[" + b"1" * 3000 + b"e-2999," + b"1" * 3000 + b".5e-2999]",

    # Strings
    b'""', b'"a"', b'" "', b'"a b"', b'["",""]', b'"null"', b'"1"', b'"[]"', b'"{}"', b'"{,:[]}"',
    b"\"'\"", b'"/* no comment */"', b'"// no comment"', b'"#"', b'"\x7f"', b'"a\x7fb"', b'"%s%n"',
    b'"</script>"', b'" lead and trail "', b'"a/b"',

    # Long strings
    *(b'"' + b"x" * size + b'"' for size in (31, 32, 63, 64, 65, 127, 128, 4095, 4096, 65536)),
    b'"' + b"y" * 1000000 + b'"', b'["' + b'","'.join([b"z" * 63] * 200) + b'"]',

    # Escapes
    *(b'"\\%c"' % letter for letter in b'"\\/bfnrt'),
    *(b'"a\\%cb"' % letter for letter in b'"\\/bfnrt'),
    b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\\\\\\\"', b'"\\\\\\""', b'"\\\\n"', b'"\\\\u0041"',
    b'"\\\\ud800"', b'["\\\\","\\""]', b'["\\"",1]', b'{"a":"\\\\"}',
    b'"' + b"\\\\" * 1000 + b'"', b'"' + b"\\n" * 3333 + b'"', b'"' + b'\\"' * 3333 + b'"',
    *(b'"' + b"x" * size + b'\\\\\\"' * 50 + b'"' for size in range(4)),

    # Escapes by number
    b'"\\u0000"', b'"\\u0001"', b'"\\u001f"', b'"\\u0020"', b'"\\u0022"', b'"\\u005c"',
    b'"\\u005C"', b'"\\u002f"', b'"\\u0041"', b'"\\u007f"', b'"\\u0080"', b'"\\u00e9"',
    b'"\\u07ff"', b'"\\u0800"', b'"\\u20ac"', b'"\\u2028\\u2029"', b'"\\uabcd"', b'"\\uABCD"',
    b'"\\uAbCd"', b'"\\ud7ff"', b'"\\ue000"', b'"\\ufdd0"', b'"\\ufeff"', b'"\\ufffd"',
    b'"\\ufffe"', b'"\\uffff"', b'"\\u00410"', b'"\\u0041\\u0042"', b'"a\\u0000b"',
    b'"' + b"\\u00e9" * 999 + b'"',

    # Surrogate pairs
    b'"\\ud800\\udc00"', b'"\\udbff\\udfff"', b'"\\ud83d\\ude00"', b'"\\uD83D\\uDE00"',
    b'"\\uD834\\udd1e"', b'"\\ud83f\\udffe"', b'"\\ud83d\\ude00\\ud83d\\ude01"',
    b'"a\\ud83d\\ude00b"', b'["\\ud83d\\ude00"]', b'"' + b"\\ud83d\\ude00" * 500 + b'"',

    # UTF-8: the first and last characters of each length, non-characters, marks
    *(b'"%s"' % utf8(code) for code in (
        0x80, 0xA0, 0xE9, 0x7FF, 0x800, 0xFFF, 0x1000, 0x2028, 0x2029, 0x20AC, 0xCFFF, 0xD000,
        0xD7FF, 0xE000, 0xFDD0, 0xFEFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x1F600, 0x1FFFF, 0x3FFFF,
        0x40000, 0xFFFFF, 0x100000, 0x10FFFD, 0x10FFFF)),
    b'"a%sb"' % utf8(0xE9), b'"%s"' % utf8(0x65, 0x301), b'"%s"' % utf8(0x5E9, 0x5DC, 0x5D5, 0x5DD),
    b'"%s"' % utf8(0x1F468, 0x200D, 0x1F469, 0x200D, 0x1F467), b'"%s"' % utf8(0x202E, 0x41),
    b'["%s","\\u00e9"]' % utf8(0xE9), b'{"%s":"%s"}' % (utf8(0x65E5, 0x672C), utf8(0x8A9E)),
    *(b'"' + b"x" * size + utf8(0x41, 0xE9, 0x20AC, 0x1F600) * 64 + b'"' for size in range(4)),
    *(b'"' + b"x" * size + utf8(0x1F600) * 32 + b'"' for size in range(4)),

    # Nesting that is allowed everywhere
    *nested(3), *nested(MAX_DEPTH - 1), b"[" + b",".join(nested(MAX_DEPTH - 2)) + b"]",
]

# Not valid as documents, but in {"params":DOCUMENT} each is a value and a further member.
VALUE_AND_MEMBERS = [
    b'1,"x":2', b'null,"a":null', b'"x","y":"z"', b'{},"b":{}', b'[1],"":[]', b'{"a":1},"b":2',
    b'1,"x":2,"y":3', b' true , "x" : [ { } ] ', b'1,"x":{"y":2}', b'-0.5e1,"\\u0078":""',
]

INVALID = [
    # Nothing
    b"", b" ", b"\t", b"\n", b"\r", b" \t\r\n",

    # Words
    *prefixes(b"null"), *prefixes(b"true"), *prefixes(b"false"),
    b"nulll", b"truee", b"falsee", b"falsey", b"true1", b"null0", b"true_", b"true.", b"false-",
    b"truefalse", b"nullnull", b"Null", b"NULL", b"nULL", b"True", b"TRUE", b"truE", b"False",
    b"FALSE", b"falsE", b"nu ll", b"tr\nue", b"nuLl", b"none", b"None", b"nil", b"undefined",
    b"yes", b"on", b"a", b"abc", b"[nul]", b"[truee]", b"[fals]", b"[nulll]", b"[nullnull]",
    b"[true false]", b"[NULL]", b"[abc]", b'{"a":tru}', b'{"a":falsey}', b'{"a":x}', b"-null",
    b"+true", b"!true", b'[null"a"]', b"n\x00ull", b"nul\x00",

    # What is not JSON but another language's value
    b"NaN", b"nan", b"-NaN", b"Infinity", b"-Infinity", b"+Infinity", b"inf", b"-inf", b"[NaN]",
    b"[-Infinity]", b"1#INF", b"(1)", b"<1>", b"<null/>", b"`a`", b"$a", b"new Date()", b"f({})",
    b"a = 1", b"x=1", b"(1, 2)", b"[1..2]", b"[...]", b"{...}", b"{1, 2}", b"a: 1", b"- a",
    b"*", b"&a", b"@", b"~", b"^", b"%", b"\\", b"\\n", b"|", b"?",

    # Arrays
    b"[", b"]", b"[[", b"]]", b"][", b"[[]", b"[]]", b"[[]]]", b"[1", b"1]", b"[1,", b"[1,2",
    b"[,]", b"[,1]", b"[1,]", b"[1,,2]", b"[1,2,]", b"[1,2,,]", b"[,,]", b"[ , ]", b"[1 2]",
    b"[1\n2]", b'["a" "b"]', b'["a""b"]', b'["a"1]', b'[1"a"]', b"[[][]]", b"[{}{}]", b"[[]1]",
    b"[1[]]", b"[1;2]", b"[1:2]", b'["a":1]', b"[:1]", b"[1:]", b"[}", b"[1}", b"[)", b"[1)",
    b"[1,2}", b"[[1,2}]", b"[{]", b"[{]}", b'["a]', b'["a",', b'["a', b"[a", b"[a]", b"[1 true]",
    b"[.]", b"[\n1\n,", b"[" + b"1," * 5000 + b"]", b"[1\\n]", b"[\\u0031]",

    # Objects
    b"{", b"}", b"{{", b"}}", b"}{", b"{}}", b"{{}}", b"{{}:1}", b"{]", b"{)", b"{,}", b"{:}",
    b"{:1}", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,"b"', b'{"a":1,"b":', b'{"a',
    b'{"', b"{1", b'{"a"}', b'{"a":}', b'{"a",}', b'{"a",1}', b'{"a",1:2}', b'{"a" 1}', b'{"a"1}',
    b'{"a" "b"}', b'{"a""b"}', b'{"a"::1}', b'{"a":1:2}', b'{"a":"b":"c"}', b'{"a":1,}',
    b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a":1,"b":2,}', b'{"a":1 "b":2}', b'{"a":1"b":2}',
    b'{"a":1;"b":2}', b'{"a":1,"b"}', b'{"a":1,"b":}', b'{"a":1,b:2}', b'{"a":1,:2}', b'{"a"=1}',
    b'{"a"=>1}', b'{"a":1]', b'{"a":[}', b'{"a":[1}', b'{"a":[1}]', b'{"a":{}', b'{"a":1}}',
    b'{"a":1}]', b'{"a":1 2}', b'{"a":[]1}', b'{"a":{}{}}', b'{"a":{"b":1},}', b'{"a"\n1}',

    # Keys that are no strings
    b"{a:1}", b"{1:1}", b"{-1:1}", b"{1.5:1}", b"{null:1}", b"{true:1}", b"{[]:1}", b"{[1]:1}",
    b"{\"a\":1,null:2}", b"{a\":1}", b"{\"a:1}", b"{_:1}", b"{$:1}", b"{\xc3\xa9:1}",
    b"{\\u0061:1}",

    # Single quotes
    b"'a'", b"''", b"['a']", b"{'a':1}", b"{\"a\":'b'}", b"\"a'", b"'a\"", b"[']", b"'\"a\"'",

    # Cut off
    *prefixes(b'{"name":[12,{"deep":"er"}],"other":null}', shortest=3),
    *prefixes(b'["\\u00e9\\n\xc3\xa9\xf0\x9f\x98\x80",true , -1.5e+3,{}]', shortest=2),
    b'"', b'"a', b'"a\\"', b'"a\\\\\\"', b'"\\', b'"\\u', b'"\\u0', b'"\\u00', b'"\\u004',
    b'"\\u0041',
    b'"\\ud83d\\ude0', b'a"', b'"""', b'"a""', b'"a"b"', b'"\xc3\xa9', b'"' + b"x" * 62,
    b'"' + b"x" * 63, b'"' + b"x" * 64, b'"' + b"x" * 100000, b'"' + b"\\\\" * 1000 + b'\\"',
    b"[" * 50, b"[" * 100000, b'{"a":' * 50, b'{"a":' * 100000, b"[{}," * 20, b"]" * 100000,
    b"[" * 40 + b"]" * 39, b"[" * 39 + b"]" * 40,

    # Numbers: signs
    b"+1", b"+0", b"-", b"+", b"--1", b"++1", b"-+1", b"+-1", b"- 1", b"-\n1", b"-a", b"-\"1\"",
    b"-[1]", b"[+1]", b"[-]", b"[--1]", b"1-", b"1-1", b"1+1", b"1-2-3", b'{"a":+1}', b"-,",

    # Numbers: leading zeros, other bases
    b"00", b"01", b"-00", b"-01", b"007", b"00.5", b"-012", b"[01]", b"[-01]", b"[00]", b"[1,02]",
    b'{"a":01}', b"0x10", b"0X1F", b"-0x1", b"0b1", b"0o7", b"0xZ", b"[0x1]", b"1F", b"08",

    # Numbers: fractions and exponents
    b"1.", b"-1.", b"0.", b".5", b"-.5", b"+.5", b".", b"-.", b"1..5", b"1.2.3", b"0.0.0", b"1.e1",
    b".e1", b"1.a", b"1.-5", b"1.+5", b"1,5.", b"[1.]", b"[.5]", b"[1.,2]", b"1. 5", b"1 .5",
    b"1e", b"1E", b"1e+", b"1e-", b"1E+", b"1E-", b"0e", b"0e+", b"-0e-", b"1.5e", b"1.5e+",
    b"1ee5", b"1e5e5", b"1e5.5", b"1e.5", b"1e++5", b"1e+-5", b"1e--5", b"e5", b"E", b"-e5",
    b"1e 5", b"1 e5", b"1ea", b"1e5a", b"1e0x1", b"[1e]", b"[1e+]", b"[0e]", b"[1.5e]",

    # Numbers: what else may stand near one
    b"1a", b"1f", b"1.0f", b"1L", b"1n", b"1d", b"0.1a", b"1_000", b"1'000", b"1 000", b"1,000",
    b"$1", b"1%", b"1/2", b"1*2", b"1:", b"1=", b"#1", b"1\"", b"1{", b"1[", b"1true", b"[1a]",
    b"[1 000]", b"[1_0]", b"[0.1x]", b"[1true]", b"1\x00", b"[1\x00]", b"1\x002", b"1\xc2\xb2",
    b"\xef\xbc\x91", b"\xd9\xa1", b"\xe2\x88\x921", b"\xc2\xbd", b"\xe2\x88\x9e", b"1\xff",
    b"1" * 100 + b"x", b"1" * 100 + b".", b"1" * 100 + b"e", b"0." + b"1" * 100 + b".",
    b"0" * 100 + b"1", b"1e" + b"0" * 100 + b"x", b"[" + b"9" * 1000 + b"a]",

    # Numbers beyond a double, which handoff-wire(7) refuses
    b"1e400", b"-1e400", b"1E+309", b"1.8e308", b"-1.8e308", b"123.456e789", b"1e99999",
    b"1e" + b"9" * 20, b"-1e" + b"9" * 100, b"9" * 310, b"1" + b"0" * 309, b"[1e400]",
    b'{"a":-1e9999}', b"0." + b"0" * 100 + b"1e500", b"0.1e310", b"[" + b"1" * 5000 + b"]",
    b"0." + b"1" * 19 + b"e310", b"0." + b"1" * 20 + b"e310", b"0." + b"9" * 30 + b"e310",
    b"-0.12345678901234567890e310", b"0." + b"1" * 300 + b"e580", b"[-0." + b"7" * 30 + b"E+310]",
    b"0.000" + b"1" * 30 + b"e320", b"1." + b"1" * 30 + b"e310", b"1e9223372036854775808",
    b"1e18446744073709551616", b"1e18446744073709551617", b"1e4294967297", b"1e65537",

    # Control characters within a string
    *(b'"%c"' % code for code in range(0x20)),
    b'"a\nb"', b'"a\tb"', b'"a\x00b"', b'{"a\tb":1}', b'{"\x00":1}', b'["\r\n"]', b'"\\\n"',
    b'"\\\x00"', b'"\\\t"', b'"' + b"x" * 1000 + b"\x1f" + b"x" * 1000 + b'"', b'"\\u0\x000041"',

    # Control characters where white space may stand
    *(b"[%c1]" % code for code in range(0x20) if code not in SPACE),
    *(b"1%c" % code for code in b"\x01\x08\x0b\x0c\x1a\x1c\x1e\x1f\x7f"),
    *(b"%c[]" % code for code in b"\x00\x08\x0b\x0c\x1a\x1e\x1f\x7f"),
    *(b"[1%c2]" % code for code in b"\x00\x0b\x0c\x1a"),
    *(b'{"a"%c1}' % code for code in b"\x00\x0c\x1a"),
    *(b'{"a":1%c"b":2}' % code for code in b"\x00\x0c\x1a"),
    *(b"%c" % code for code in b"\x00\x01\x0b\x0c\x1a\x7f"),

    # Characters that are white space elsewhere
    *(b"[%s1]" % utf8(code) for code in (
        0x85, 0xA0, 0x1680, 0x180E, 0x2003, 0x200B, 0x2028, 0x2029, 0x202F, 0x2060, 0x3000,
        0xFEFF)),
    b"1" + utf8(0xA0), utf8(0xA0) + b"1", utf8(0x2028) + b"{}", b"{}" + utf8(0x3000),

    # Escapes that there are not
    *(b'"\\%c"' % letter for letter in b"acdeghijklmopqsvwxyzABFNRTUX0127'`?&%-(){ \x7f"),
    b'"\\x41"', b'"\\x4"', b'"\\101"', b'"\\U00000041"', b'"\\u{41}"', b'"\\N{DOT}"', b'"\\cA"',
    b'"\\\xc3\xa9"', b'"\\\xf0\x9f\x98\x80"', b'["\\a"]', b'{"\\a":1}', b'{"a":"\\q"}', b'"ab\\"',
    b'"\\\\\\"', b'"\\\\\\a"', b'["\\"]', b'["\\",1]', b'"' + b"\\\\" * 500 + b'\\e"',

    # Escapes by number that are none
    b'"\\u"', b'"\\u0"', b'"\\u00"', b'"\\u004"', b'"\\u 041"', b'"\\u0 41"', b'"\\u004 1"',
    b'"\\u004g"', b'"\\u00g1"', b'"\\ug041"', b'"\\u-041"', b'"\\u+041"', b'"\\u0x41"',
    b'"\\u00.1"', b'"\\u004\xc3\xa9"', b'"\\u\\u0041"', b'"\\u00\\n1"', b'"\\u0\\u0041"',
    b'"\\u12"', b'"\\u123"', b'"\\uxyzw"', b'"\\u\xef\xbc\x9000"', b'["\\u00e"]', b'{"\\u00e":1}',
    b'"\\u004/"', b'"\\u004:"', b'"\\u004@"', b'"\\u004`"', b'"\\u004G"',

    # Surrogates without their other half, which handoff-wire(7) refuses
    b'"\\ud800"', b'"\\udbff"', b'"\\udc00"', b'"\\udfff"', b'"\\uD800"', b'"\\uDFFF"',
    b'"\\ud800a"', b'"a\\ud800"', b'"\\udc00a"', b'"\\ud800\\ud800"', b'"\\udc00\\udc00"',
    b'"\\udc00\\ud800"', b'"\\ud800\\n"', b'"\\ud800\\\\"', b'"\\ud800\\u0041"',
    b'"\\ud800\\udbff"', b'"\\ud800\\ue000"', b'"\\ud83d\\ude00\\ud83d"',
    b'"\\ud83d\\ude00\\ude00"', b'"\\ud83d\\ud83d\\ude00"', b'"\\ud83d \\ude00"',
    b'"\\ud83d\xed\xb8\x80"', b'"\\ud800udc00"', b'"\\ud800\\udc0"', b'"\\ud800\\udc0g"',
    b'"\\ud800\\u"', b'"\\ud800\\u00dc00"', b'["\\ud800"]', b'{"\\ud800":1}', b'{"a":"\\udc00"}',
    b'"\\ud800/udc00"', b'"' + b"x" * 60 + b'\\ud800"',

    # UTF-8: bytes that are never first, or never there at all
    *(b'"%c"' % code for code in b"\x80\x81\x8f\x9f\xa0\xbf\xc0\xc1\xf5\xf6\xf8\xfc\xfe\xff"),
    b'"a\x80"', b'"\x80\x80"', b'"\xbf\xbf\xbf\xbf"', b'"\xff\xff"', b'"\xfe\xff"', b'"caf\xe9"',
    b'"\xe4\xf6\xfc"', b'{"\xff":1}', b'{"\xe9":1}', b'{"a":"\xff"}', b'["\xff"]',
    b"\xff", b"\x80", b"[\xff]", b"[\xe9]", b"\xc3\xa9", b"[\xc3\xa9]", b"[1]\xff", b"\xff[1]",
    b'"' + b"x" * 1000 + b"\xff" + b"x" * 1000 + b'"', b'"\\u00e9\xe9"', b'"\x93\xfaq\x96{"',

    # UTF-8: overlong
    *(b'"%s"' % text for text in (
        b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xc0\xa2", b"\xe0\x80\x80", b"\xe0\x80\xaf",
        b"\xe0\x81\x81", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf0\x80\x80\xaf",
        b"\xf0\x82\x82\xac", b"\xf0\x8f\xbf\xbf", b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80")),
    b"\xc0\xa2a\xc0\xa2", b"\xc1\x9b\xc1\x9d",

    # UTF-8: surrogates, and above U+10FFFF
    *(b'"%s"' % text for text in (
        b"\xed\xa0\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbf\xbf",
        b"\xed\xa0\xbd\xed\xb8\x80", b"\xed\xb0\x80\xed\xa0\x80", b"\xf4\x90\x80\x80",
        b"\xf4\xbf\xbf\xbf", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf")),

    # UTF-8: characters cut off by a quote, a letter, another character; and too long
    *(b'"%s"' % text for text in (
        b"\xc3", b"\xdf", b"\xe0\xa0", b"\xe2", b"\xe2\x82", b"\xef\xbf", b"\xf0", b"\xf0\x9f",
        b"\xf0\x9f\x98", b"\xf4\x8f\xbf", b"\xc3a", b"\xe2a", b"\xe2\x82a", b"\xf0\x9f\x98a",
        b"\xc3\xc3\xa9", b"\xe2\x82\xe2\x82\xac", b"\xf0\x9f\x98\xc3\xa9", b"\xe2\xc3\xa9",
        b"\xc3\xa9\xa9", b"\xe2\x82\xac\xac", b"\xf0\x9f\x98\x80\x80", b"\xc3\\u00a9", b"\xe2(\xa1",
        b"\xe2\x82(", b"\xf0(\x8c\xbc", b"\xf0\x90(\xbc", b"\xf0(\x8c(")),
    b'"\xe2\x82', b'"\xf0\x9f\x98', b'"a\xc3', b"[1]\xc3", b"[1]\xe2\x82", b"null\xf0\x9f\x98",
    *(b'"' + b"x" * size + b'\xe2\x82"' for size in (37, 38, 39, 60, 61, 62, 63)),
    *(b'"' + b"x" * size + b'\xf0\x9f\x98yz"' for size in (37, 38, 39, 60, 61, 62, 63)),
    b'"' + utf8(0xE9) * 500 + b"\xc3" + utf8(0xE9) * 500 + b'"',

    # Byte order marks, which handoff-wire(7) refuses, and other encodings
    b"\xef\xbb\xbf", b"\xef\xbb\xbf1", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf{}", b'\xef\xbb\xbf""',
    b" \xef\xbb\xbf{}", b"{}\xef\xbb\xbf", b"\xef\xbb{}", b"\xef{}", b"[\xef\xbb\xbf]", b"\xff\xfe",
    b"\xfe\xff",
    *(text.encode(name) for text in ("[]", '"a"', '{"a":1}', "null", "7") for name in (
        "utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be")),
    '"é"'.encode("latin-1"), '"é"'.encode("cp437"), "[]".encode("cp037"), b"+AFsAXQ-",

    # NUL bytes
    b"\x00\x00\x00\x00", b"[]\x00", b"{}\x00", b"null\x00", b'"a"\x00', b"\x00null", b"[\x00]",
    b"[1,\x002]", b'{"a":\x001}', b'{\x00"a":1}', b'{"a":1\x00}', b"[]\x00[]",
    b"[]" + b"\x00" * 100, b"1" + b"\x00" * 64, b"{}\n\x00", b"true\x00", b"false\x00\x00",
    b"null \x00", b"-1.5e3\x00", b"1\x00junk", b"null\x00}{", b'1\x00,"id":7', b"0\x00\xff",

    # Comments
    b"/**/", b"//", b"#", b"/", b"/**/1", b"1/**/", b"// a\n1", b"1 // a", b"1 # a", b"# a\n1",
    b"[1,/* a */2]", b"[1,// a\n2]", b"[1 /**/]", b'{"a":/**/1}', b'{/**/"a":1}', b'{"a":1}//',
    b'{"a"/**/:1}', b"<!-- a -->1", b"1 -- a", b"; a\n1", b"[1]/", b"[1]/*", b"[1] /* a", b"1/",
    b"[1,\n# a\n2]", b"null%a",

    # Something behind the value, or in front
    b"1 2", b"1\n2", b"0 0", b"null null", b"true,", b"1,", b",1", b",", b":", b"[],", b"{},",
    b",[]", b'"a",', b"1,2", b'"a" "b"', b'"a""b"', b'"a"b', b'a"b"', b'"a"1', b'1"a"', b'"a":1',
    b'"a":', b"[] []", b"[][]", b"{} {}", b"{}{}", b"{}\n{}", b"[]{}", b"{}[]", b"[]1", b"1[]",
    b"1 []", b"{}x", b"[]x", b"[] x", b"{}1", b'{}"a"', b'"a"{}', b"{};", b"[];", b"1;", b"null.",
    b"[1].", b"[1]]", b"[1]}", b"{}]", b"[]}", b'"a"]', b'"a"}', b"true}", b"true]", b"1}",
    b"[1],[2]", b"{},{}", b'{"a":1},{"b":2}', b'{"a":1}{"b":2}', b"x[]", b"x{}", b"1 x",
    b")]}',\n[]", b"while(1);[]", b"\x1e{}\n", b"[]" + b" " * 500 + b"x", b"{}" + b" " * 500 + b"}",
    b"[1]" * 1000,

    # Nested too deeply
    *nested(MAX_DEPTH + 1), *nested(MAX_DEPTH + 2), *nested(1000), b"[" * 40000 + b"]" * 40000,
    b'[1,{"a":%s}]' % nested(MAX_DEPTH - 1)[0],

    *VALUE_AND_MEMBERS,
]
