"""The command: `kata-context mcp` serves agents in editors. The service and its key come from the environment alone."""

import argparse
import asyncio
import sys

from kata_context._client import VERSION


def main(arguments: list[str] | None = None) -> None:
    """Runs the command. Exits with 1 where it cannot, and says why on standard error."""
    parser = argparse.ArgumentParser(
        prog="kata-context",
        description="The command of Kata Context's client.",
        epilog="KATA_CONTEXT_URL names the service, KATA_CONTEXT_API_KEY has its key.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("mcp", help="serve the Model Context Protocol on standard input and output")
    parser.parse_args(arguments)
    try:
        from kata_context.mcp import serve  # noqa: PLC0415 - needs an extra, and the command shall say so
    except ImportError as error:
        sys.exit(f"kata-context: {error}; this command needs the extra: pip install 'kata-context[mcp]'")
    try:
        asyncio.run(serve())
    except ValueError as error:
        sys.exit(f"kata-context: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
