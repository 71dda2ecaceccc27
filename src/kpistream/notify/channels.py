"""Channels: the one that a receiver's settings ask for. A kind of channel is deleted with its file and a line here."""

from kpistream.core.receivers import Alertmanager, Chat, Mail, Receiver, Webhook
from kpistream.notify.alertmanager import AlertmanagerChannel
from kpistream.notify.chat import ChatChannel
from kpistream.notify.delivery import Channel, SecretOf
from kpistream.notify.mail import MailChannel
from kpistream.notify.webhook import WebhookChannel


def channel_of(receiver: Receiver, secret_of: SecretOf) -> Channel:
    """The channel of a receiver; nothing is connected yet."""
    match receiver.channel:
        case Webhook():
            return WebhookChannel(receiver, receiver.channel, secret_of)
        case Mail():
            return MailChannel(receiver, receiver.channel, secret_of)
        case Alertmanager():
            return AlertmanagerChannel(receiver, receiver.channel, secret_of)
        case Chat():
            return ChatChannel(receiver, receiver.channel, secret_of)
