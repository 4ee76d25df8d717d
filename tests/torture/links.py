"""What lies between producers, broker and service: a publisher that minds confirmations, and a proxy whose connections break."""

import asyncio
import socket
import threading
import time

from support import rabbitmq, stock

CONFIRMED_WITHIN_S = 120


class Bus:
    """One producer's connection to the broker. It publishes one message after another, each until the broker confirmed that it
    has it on its disk and in a queue. Straight to the broker: what a proxy's broken connection had in it could come late, behind
    what was said after it, and no producer can want that."""

    def __init__(self, world, exchange):
        self._world, self._exchange_name = world, exchange
        self._connection = self._exchange = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def publish(self, routing_key, body, **properties):
        until = time.monotonic() + rabbitmq.BOOT_LIMIT_S
        while True:
            self._world.go_on()
            try:
                self._do(self._send(routing_key, body, properties))
                return
            except Exception as error:  # aio-pika tells the loss of a broker by a dozen types
                if time.monotonic() > until:
                    raise AssertionError(f"the broker does not take {routing_key}: {error!r}") from error
            self._do(self._leave())
            time.sleep(0.1)

    def waiting(self, queue):
        """How many messages a queue holds that no service has now."""

        async def ask():
            await self._open()
            channel = await self._connection.channel()
            declared = await channel.declare_queue(queue, passive=True)
            await channel.close()
            return declared.declaration_result.message_count

        return self._do(ask())

    def close(self):
        self._do(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, CONFIRMED_WITHIN_S), self._loop).result()

    async def _open(self):
        if self._connection is None or self._connection.is_closed:
            self._connection, self._exchange = await stock.open_exchange(self._world.broker.url, self._exchange_name)

    async def _send(self, routing_key, body, properties):
        import aio_pika

        await self._open()
        message = aio_pika.Message(body=body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties)
        answer = await self._exchange.publish(message, routing_key=routing_key)
        if type(answer).__name__ != "Ack":
            raise ConnectionError(f"not taken by any queue: {answer!r}")

    async def _leave(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except Exception:  # it is gone either way
                pass


class Proxy:
    """Takes connections on a port of its own and passes bytes on to another. cut() breaks all, hold() keeps bytes back."""

    def __init__(self, target_port):
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = set()
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        with self._lock:
            open_, self._open = self._open, set()
        for one in open_:
            _shut(one)

    def hold(self, seconds):
        self._flows.clear()
        try:
            time.sleep(seconds)
        finally:
            self._flows.set()

    def close(self):
        _shut(self._listener)
        self._flows.set()
        self.cut()

    def _accept(self):
        while True:
            try:
                mine, _ = self._listener.accept()
            except OSError:
                return
            try:
                its = socket.create_connection(("127.0.0.1", self._target), timeout=10)
                its.settimeout(None)
            except OSError:
                _shut(mine)
                continue
            with self._lock:
                self._open |= {mine, its}
            for pair in ((mine, its), (its, mine)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source, sink):
        try:
            while data := source.recv(1 << 16):
                self._flows.wait()
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            _shut(one)
        with self._lock:
            self._open -= {source, sink}


def _shut(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
