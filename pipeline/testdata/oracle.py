"""Records what PasteDeploy makes of .ini files, for TestOracle.

Reads {"here", "distributions", "cases"} from stdin, in the form of pastedeploy.json, and writes the cases with what came of
them: "error", or "context" and "created" or "create_error". Needs a Python that can import paste.deploy.
"""

import json
import os
import signal
import sys
import tempfile
import types

from paste.deploy import loadwsgi


class NotAnApp(Exception):
    """A function was made where an app is due."""


class TooLong(BaseException):
    """The original would go on for minutes."""


def factories():
    """The module that the fake distributions point to: its factories describe how they are called."""

    def described(what, name, global_conf, local_conf, **more):
        return {what: name, "global_conf": dict(global_conf), "local_conf": local_conf, **more}

    def app(name):
        return lambda global_conf, **local: described("app", name, global_conf, local)

    def composite(name):
        def make(loader, global_conf, **local):
            children = {k: loader.get_app(v, global_conf) for k, v in local.items() if not k.startswith("opt_")}
            return described("composite", name, global_conf, local, children=children)

        return make

    def around(what):
        def factory(name):
            return lambda global_conf, **local: lambda inner: described(what, name, global_conf, local, app=inner)

        return factory

    def around_at_once(what):
        def factory(name):
            return lambda inner, global_conf, **local: described(what, name, global_conf, local, app=inner)

        return factory

    module = types.ModuleType("demopkg")
    module.not_callable = 5

    def add(kind, names, owner=module, prefix=""):
        for name in names.split():
            made = kind(prefix + name)
            made.__module__, made.__qualname__ = "demopkg", prefix + name
            setattr(owner, name, staticmethod(made) if prefix else made)

    add(app, "make_main make_home make_api make_blog make_twice")
    add(composite, "make_twice_c make_map make_cascade")
    add(around("filter"), "make_caps make_gzip make_fmain make_both1")
    add(around_at_once("filter"), "make_auth make_log make_both2")
    add(around("server"), "make_http make_smain")
    add(around_at_once("server"), "make_run")
    module.Klass = type("Klass", (), {})
    module.Klass.Inner = type("Inner", (), {})
    add(app, "make", module.Klass, "Klass.")
    add(around("filter"), "make", module.Klass.Inner, "Klass.Inner.")
    return module


def install(distributions, folder):
    for name, groups in distributions.items():
        info = os.path.join(folder, name.replace("-", "_") + "-1.0.dist-info")
        os.mkdir(info)
        with open(os.path.join(info, "METADATA"), "w") as f:
            f.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        with open(os.path.join(info, "entry_points.txt"), "w") as f:
            for group, entries in groups.items():
                f.write(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))
    sys.path.insert(0, folder)
    sys.modules["demopkg"] = factories()


KINDS = {
    loadwsgi.APP: "app", loadwsgi.FILTER: "filter", loadwsgi.SERVER: "server",
    loadwsgi.PIPELINE: "pipeline", loadwsgi.FILTER_APP: "filter_app", loadwsgi.FILTER_WITH: "filtered_with",
}


def describe(context):
    kind = KINDS[context.object_type]
    node = {
        "kind": kind, "protocol": context.protocol,
        "global_conf": dict(context.global_conf), "local_conf": dict(context.local_conf),
    }
    if kind in ("app", "filter", "server"):
        factory = context.object
        node["object"] = f"{factory.__module__}:{factory.__qualname__}" if hasattr(factory, "__qualname__") else str(factory)
    if context.distribution is not None:
        node["distribution"], node["entry_point"] = context.distribution.metadata["Name"], context.entry_point_name
    if kind == "pipeline":
        node["filters"], node["app"] = [describe(f) for f in context.filter_contexts], describe(context.app_context)
    if kind in ("filter_app", "filtered_with"):
        node["filter"], node["next"] = describe(context.filter_context), describe(context.next_context)
    return node


def is_data(made):
    return all(is_data(v) for v in made.values()) if isinstance(made, dict) else isinstance(made, str)


def record(case):
    types_of_objects = {"app": loadwsgi.APP, "filter": loadwsgi.FILTER, "server": loadwsgi.SERVER}
    try:
        context = loadwsgi.loadcontext(
            types_of_objects[case["type"]], case["uri"], name=case["name"], global_conf=case["global_conf"]
        )
        case["context"] = json.loads(json.dumps(describe(context)))
    except Exception as e:
        case["error"] = {"class": type(e).__name__, "message": str(e)}
        return
    try:
        made = context.create()
        if case["type"] != "app":
            made = made("APP")
        if not is_data(made):
            raise NotAnApp
        case["created"] = made
    except Exception as e:
        case["create_error"] = {"class": type(e).__name__, "message": str(e)}


def give_up(*_):
    raise TooLong


def main():
    given = json.load(sys.stdin)
    signal.signal(signal.SIGALRM, give_up)
    recorded = []
    with tempfile.TemporaryDirectory() as folder:
        install(given["distributions"], folder)
        for case in given["cases"]:
            signal.alarm(10)
            try:
                record(case)
                recorded.append(case)
            except TooLong:
                pass
            finally:
                signal.alarm(0)
    json.dump(recorded, sys.stdout)


main()
