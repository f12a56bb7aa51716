"""Runs the cases of Autobahn|Testsuite against a WebSocket server that says everything again.

    drive.py FOLDER URL [CASE ...]

Without cases those are run that ask what the server does; `all` adds those that see how it
bears long messages, which take a minute. FOLDER holds the testsuite's sources. They are Python 2; only its cases are used, translated
as they are imported: a source is read as Latin-1, so that a text of a case is the bytes that
Python 2 made of it, one character a byte, and is turned into bytes again where it meets
Autobahn|Python. The connection, the order and the verdict are of this file.

Prints a line for each case that did not pass, and the numbers. Ends with 0 if all passed.
"""

import ast
import binascii
import collections
import importlib.abc
import importlib.util
import pathlib
import sys
import types
import warnings

warnings.simplefilter("ignore")

from lib2to3.refactor import RefactoringTool

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket import utf8validator
from twisted.internet import reactor

# Connections at a time. Most cases wait for a second to see that nothing comes.
AT_ONCE = 16
# The suite's verdicts with which a server keeps the protocol.
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
CLOSED = {"OK", "INFORMATIONAL"}


def to_bytes(text):
    return text.encode("latin-1") if isinstance(text, str) else text


def to_text(data):
    return data.decode("latin-1") if isinstance(data, (bytes, bytearray)) else data


# --- Python 2 ------------------------------------------------------------------------------


class Division(ast.NodeTransformer):
    """Whole numbers divided are whole numbers."""

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        name = ast.Name("divided", ast.Load())
        return ast.copy_location(ast.Call(name, [node.left, node.right], []), node)


def divided(left, right):
    whole = isinstance(left, int) and isinstance(right, int)
    return left // right if whole else left / right


class Validator(utf8validator.Utf8Validator):
    def validate(self, text):
        return super().validate(to_bytes(text))


def in_python_2(module):
    """What a module of the cases finds under names that mean something else today."""
    module.divided = divided
    if hasattr(module, "binascii"):
        b2a_hex = lambda text: to_text(binascii.b2a_hex(to_bytes(text)))
        module.binascii = types.SimpleNamespace(b2a_hex=b2a_hex, hexlify=b2a_hex)
    if hasattr(module, "Utf8Validator"):
        module.Utf8Validator = Validator


class Python2(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the package `case`, and translates it."""

    FIXES = ["dict", "except", "has_key", "import", "print", "raise", "xrange"]
    # Compression is not offered by the server; these cases would only be skipped.
    LEFT_OUT = {
        "case.case12_x_x": {"Case12_X_X": [], "Case12_X_X_CaseSubCategories": {}}
        | {"Case13_X_X": [], "Case13_X_X_CaseSubCategories": {}}
    }

    def __init__(self, folder):
        self.folder = folder
        fixes = ["lib2to3.fixes.fix_" + name for name in self.FIXES]
        self.tool = RefactoringTool(fixes)

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] != "case":
            return None
        place = self.folder.joinpath(*name.split("."))
        if place.is_dir():
            file, inside = place / "__init__.py", [str(place)]
        else:
            file, inside = place.with_suffix(".py"), None
        return importlib.util.spec_from_file_location(
            name, file, loader=self, submodule_search_locations=inside
        )

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        name = module.__spec__.name
        if name in self.LEFT_OUT:
            vars(module).update(self.LEFT_OUT[name])
            module.__all__ = list(self.LEFT_OUT[name])
            return
        file = module.__spec__.origin
        source = pathlib.Path(file).read_bytes().decode("latin-1").replace("\r\n", "\n")
        # A class cannot stand before those derived from it.
        source = source.replace("(object, Case, )", "(Case, )")
        source = source.replace(
            "from zope.interface import implements", "implements = lambda interface: None"
        )
        imports, body = self.split(str(self.tool.refactor_string(source + "\n", file)))
        exec(compile(imports, file, "exec"), vars(module))
        in_python_2(module)
        tree = ast.fix_missing_locations(Division().visit(ast.parse(body)))
        exec(compile(tree, file, "exec"), vars(module))

    @staticmethod
    def split(source):
        """The imports, and everything else: other things may stand for what they bring."""
        tree = ast.parse(source)
        is_import = lambda node: isinstance(node, (ast.Import, ast.ImportFrom))
        imports = ast.Module([node for node in tree.body if is_import(node)], [])
        body = ast.Module([node for node in tree.body if not is_import(node)], [])
        return ast.unparse(imports), ast.unparse(body)


# --- one case ------------------------------------------------------------------------------


class Peer(WebSocketClientProtocol):
    """A connection, as the cases use one."""

    debug = False
    createWirelog = False

    def __init__(self, case):
        super().__init__()
        self.connectionWasOpen = False
        self.txFrameStats = collections.Counter()
        self.runCase = case(self)

    # What the cases are told.

    def onOpen(self):
        self.connectionWasOpen = True
        self.runCase.onOpen()

    def onMessage(self, payload, isBinary):
        self.runCase.onMessage(to_text(payload), isBinary)

    def onPong(self, payload):
        self.runCase.onPong(to_text(payload))

    def onClose(self, wasClean, code, reason):
        self.runCase.onClose(wasClean, code, reason)

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.runCase.onConnectionLost(self.failedByMe)
        self.factory.done(self.runCase)

    # What they ask for.

    def later(self, delay, ask):
        def unless_closed():
            if self.state != self.STATE_CLOSED:
                ask()

        reactor.callLater(delay, unless_closed)

    def continueLater(self, delay, go_on, tag=None):
        self.later(delay, go_on)

    def killAfter(self, delay):
        self.later(delay, self._fail_connection)

    def closeAfter(self, delay):
        self.later(delay, self.sendClose)

    def enableWirelog(self, enable):
        pass

    # Texts on their way out.

    def logTxFrame(self, frameHeader, payload, repeatLength, chopsize, sync):
        self.txFrameStats[frameHeader.opcode] += 1

    def sendFrame(self, opcode, payload="", **rest):
        super().sendFrame(opcode, payload=to_bytes(payload), **rest)

    def sendMessage(self, payload, *rest, **named):
        super().sendMessage(to_bytes(payload), *rest, **named)

    def sendMessageFrame(self, payload, *rest, **named):
        super().sendMessageFrame(to_bytes(payload), *rest, **named)

    def sendMessageFrameData(self, payload, *rest, **named):
        return super().sendMessageFrameData(to_bytes(payload), *rest, **named)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, to_bytes(reasonUtf8), isReply)


class Connection(WebSocketClientFactory):
    def __init__(self, url, case, run):
        super().__init__(url)
        # Closes as the protocol says, and does not just hang up.
        self.setProtocolOptions(failByDrop=False)
        self.logFrames = True
        self.case = case
        self.run = run

    def buildProtocol(self, address):
        peer = Peer(self.case)
        peer.factory = self
        return peer

    def done(self, result):
        self.run.done(self.case, result.behavior, result.behaviorClose, result.result)

    def clientConnectionFailed(self, connector, reason):
        self.run.done(self.case, "UNREACHED", "UNREACHED", reason.getErrorMessage())


# --- all of them ---------------------------------------------------------------------------


def number(case):
    return case.__name__.removeprefix("Case").replace("_", ".")


def is_heavy(case):
    return number(case).startswith("9.")


class Run:
    def __init__(self, url, cases):
        self.url = url
        # What takes long has the processor to itself.
        self.waiting = collections.deque(sorted(cases, key=is_heavy))
        self.open = 0
        self.behaviors = collections.Counter()
        self.failed = []
        self.again = set()

    def go_on(self):
        while self.waiting:
            first = self.waiting[0]
            is_alone = is_heavy(first) or first in self.again
            most = 1 if is_alone else AT_ONCE
            if self.open >= most:
                break
            factory = Connection(self.url, self.waiting.popleft(), self)
            self.open += 1
            reactor.connectTCP(factory.host, factory.port, factory)
        if not self.open and reactor.running:
            reactor.stop()

    def done(self, case, behavior, close, result):
        self.open -= 1
        reactor.callLater(0, self.go_on)
        failed = behavior not in PASSED or close not in CLOSED
        # The suite gives an answer a second, which a busy machine may need for sixteen.
        if failed and case not in self.again:
            self.again.add(case)
            self.waiting.append(case)
            return
        self.behaviors[behavior] += 1
        if failed:
            self.failed.append(case)
            print(f"case {number(case)}: {behavior}, close {close}: {result}")


def main(folder, url, wanted):
    sys.meta_path.insert(0, Python2(pathlib.Path(folder)))
    suite = importlib.import_module("case")
    base = importlib.import_module("case.case").Case
    base.compare = lambda self, left, right: left == right
    if wanted == ["all"]:
        matches = lambda case: True
    elif wanted:
        matches = lambda case: any(number(case).startswith(prefix) for prefix in wanted)
    else:
        matches = lambda case: not is_heavy(case)
    run = Run(url, [case for case in suite.Cases if matches(case)])
    reactor.callWhenRunning(run.go_on)
    reactor.run()
    total, failed = sum(run.behaviors.values()), len(run.failed)
    print(f"{total} cases: {dict(run.behaviors)}, {failed} failed")
    return 0 if total and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
